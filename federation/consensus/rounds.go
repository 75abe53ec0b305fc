package consensus

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// rounds counts, for the term in which this node leads, which voters answered Success to an AppendEntries and when
// that was sent. "When" is a number of one sequence that readers and senders share: a message with a higher number
// than a read was sent after the read began.
//
// There are no rounds to join. A read takes a number and waits until a majority answered messages with higher ones; so
// one message serves every read that began before it, and none that began after it. Counting answers that merely
// arrived after the read began was stale in 6 of 20 experiments: such an answer may be older than a new leader.
type rounds struct {
	next atomic.Uint64

	mu     sync.Mutex
	term   uint64
	ended  uint64                   // this node does not lead in this term or any before it
	sent   map[raft.ServerID]uint64 // highest number that this voter answered with Success in term
	quorum *gauge                   // number that a majority, with this node, has answered
	plants *plants
}

func newRounds(p *plants) *rounds {
	return &rounds{plants: p, sent: map[raft.ServerID]uint64{}, quorum: newGauge()}
}

// stamp returns the number of a read that begins now, or of a message that is sent now.
func (r *rounds) stamp() uint64 { return r.next.Add(1) }

// answered counts an answer from a voter to the message with that number, sent in that term. voters are all voters but
// this node, needed how many of them make a majority together with this node.
func (r *rounds) answered(from raft.ServerID, term, number uint64, voters []raft.ServerID, needed int) {
	if r.plants.countEarlierAnswers {
		number = r.stamp()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if term < r.term || term <= r.ended {
		return
	}
	r.enter(term)
	r.sent[from] = max(r.sent[from], number)
	r.count(voters, needed)
}

// recount says that the voters have changed.
func (r *rounds) recount(term uint64, voters []raft.ServerID, needed int) {
	alone := r.stamp() // what was asked for before is confirmed by nobody else
	r.mu.Lock()
	defer r.mu.Unlock()
	if term < r.term || term <= r.ended {
		return
	}
	r.enter(term)
	if needed == 0 {
		r.quorum.advance(alone)
		return
	}
	r.count(voters, needed)
}

// count finds what a majority of the voters has answered; mu is held.
func (r *rounds) count(voters []raft.ServerID, needed int) {
	if needed <= 0 || needed > len(voters) {
		return
	}
	numbers := make([]uint64, 0, 8)
	for _, v := range voters {
		numbers = append(numbers, r.sent[v])
	}
	slices.Sort(numbers)
	r.quorum.advance(numbers[len(numbers)-needed])
}

// of returns the gauge of that term. It fails once the term is over.
func (r *rounds) of(term uint64) *gauge {
	r.mu.Lock()
	defer r.mu.Unlock()
	if term < r.term || term <= r.ended {
		g := newGauge()
		g.fail(ErrNotLeader)
		return g
	}
	r.enter(term)
	return r.quorum
}

// enter begins a term; mu is held.
func (r *rounds) enter(term uint64) {
	if term > r.term {
		r.quorum.fail(ErrNotLeader)
		r.term, r.sent, r.quorum = term, map[raft.ServerID]uint64{}, newGauge()
	}
}

// end says that this node does not lead in any term up to that one, and never will: what waits fails.
func (r *rounds) end(term uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = max(r.ended, term)
	if r.term <= r.ended {
		r.quorum.fail(ErrNotLeader)
	}
}
