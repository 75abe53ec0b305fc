package ledger

import "pentad.dev/pentad/dev/sample/ledger/ledgerpb"

// simPipe is the stream from one member to another.
type simPipe struct {
	open     bool
	requests []*ledgerpb.ReplicateRequest
	answers  []*ledgerpb.ReplicateResponse
}

type simLate struct {
	to      string
	request *ledgerpb.ReplicateRequest
}

// breakPipe ends a stream; what was under way may still arrive, but nobody hears the answer.
func (s *simulation) breakPipe(pair [2]string) {
	p := s.pipes[pair]
	for _, r := range p.requests {
		if s.rand.IntN(2) == 0 && len(s.late) < 50 {
			s.late = append(s.late, simLate{pair[1], r})
		}
	}
	*p = simPipe{}
}

// carry takes one step on one stream.
func (s *simulation) carry() {
	from, to := simNames[s.rand.IntN(3)], simNames[s.rand.IntN(3)]
	p, q, pipe := s.member(from), s.member(to), s.pipes[[2]string{from, to}]
	if from == to || !p.up || !q.up || s.cut[from] || s.cut[to] {
		return
	}
	if p.core.role == replica {
		if pipe.open {
			s.breakPipe([2]string{from, to})
		}
		return
	}
	switch s.rand.IntN(3) {
	case 0:
		if !pipe.open {
			pipe.open = true
			p.core.linked(to)
		}
		if m := p.core.next(to); m != nil {
			pipe.requests = append(pipe.requests, m)
		}
	case 1:
		if len(pipe.requests) == 0 {
			return
		}
		answer, err := q.core.replicate(pipe.requests[0])
		pipe.requests = pipe.requests[1:]
		if err != nil {
			s.fail("a message is refused: %v", err)
			return
		}
		pipe.answers = append(pipe.answers, answer)
	case 2:
		if len(pipe.answers) > 0 {
			answer := pipe.answers[0]
			pipe.answers = pipe.answers[1:]
			p.core.replicated(to, answer)
		}
	}
}
