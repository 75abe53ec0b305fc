package ledger

import (
	"fmt"

	"pentad.dev/pentad/unitization/fence"
)

// wrongOrder is what the intent of a simulation does in a wrong order, on purpose.
type wrongOrder int

const (
	rightOrder wrongOrder = iota
	// catchUpFirst reads the position to catch up to before the fence.
	catchUpFirst
	// promoteFirst orders the promotion before the commit, under the epoch that the commit will have.
	promoteFirst
)

type simPhase int

const (
	simIdle simPhase = iota
	simFencing
	simCatchingUp
	simCommitted
	simOpened
)

// simIntent is a store as the switchover machine keeps it (rules 12 and 13 of ownership), no more.
type simIntent struct {
	epoch           uint64
	primary, target string
	accepting       bool
	token           uint64
	phase           simPhase
	step            int
	order           *fence.Order
	reports         map[string]fence.State
	closedAt        int
	early           fence.Position
}

func (i *simIntent) permit(now int) simGrant {
	g := simGrant{token: i.token, until: now + simPermit}
	if i.accepting {
		g.primary = i.primary
	}
	return g
}

func (i *simIntent) give(a fence.Action, member string, token uint64, at fence.Position) {
	i.step++
	i.token = max(i.token, token)
	i.order = &fence.Order{
		Store: "orders", Action: a, Member: member, Token: token, Switchover: "s", UID: "u", Step: i.step, Position: at,
	}
	i.reports = map[string]fence.State{}
}

func (i *simIntent) report(member string, r simReport) {
	if i.order != nil && r.order == *i.order {
		i.reports[member] = r.state
	}
}

// control is a step of the controller: begin, go on, or abort.
func (s *simulation) control(faults bool) {
	i := &s.intent
	switch {
	case faults && (i.phase == simIdle || i.phase >= simCommitted && s.rand.IntN(60) == 0) && s.rand.IntN(8) == 0:
		s.begin()
	case faults && (i.phase == simFencing || i.phase == simCatchingUp) && s.rand.IntN(12) == 0:
		i.epoch++
		i.give(fence.Unfence, i.primary, i.epoch, fence.Position{})
		i.accepting, i.phase = true, simIdle
	default:
		s.proceed()
	}
}

func (s *simulation) begin() {
	i := &s.intent
	i.epoch++
	i.target = simNames[s.rand.IntN(3)]
	i.early = s.member(i.target).core.position()
	if i.accepting {
		i.closedAt = s.now
	}
	i.accepting, i.phase = false, simFencing
	i.give(fence.Fence, "", i.epoch, fence.Position{})
}

func (s *simulation) proceed() {
	i := &s.intent
	switch i.phase {
	case simFencing:
		_, primary := i.reports[i.primary]
		waited := s.now > i.closedAt+simPermit
		if len(i.reports) < 2 || !primary && !waited {
			return
		}
		to := fence.Position{}
		for _, state := range i.reports {
			if state.Position.Compare(to) > 0 {
				to = state.Position
			}
		}
		if s.wrong == catchUpFirst {
			to = i.early
		}
		i.phase = simCatchingUp
		i.give(fence.CatchUp, i.target, i.order.Token, to)
		if s.wrong == promoteFirst {
			i.give(fence.Promote, i.target, i.epoch+1, fence.Position{})
		}
	case simCatchingUp:
		if len(i.reports) == 0 {
			return
		}
		i.epoch++
		i.primary, i.phase = i.target, simCommitted
		i.give(fence.Promote, i.target, i.epoch, fence.Position{})
	case simCommitted:
		if len(i.reports) == 0 {
			return
		}
		i.epoch++
		i.phase, i.accepting = simOpened, true
		i.give(fence.Open, i.primary, i.epoch, fence.Position{})
	case simOpened:
		if len(i.reports) > 0 {
			i.phase = simIdle
		}
	}
}

// simOracle watches acknowledgements.
type simOracle struct {
	acked   map[string]result
	by      map[uint64]string // who acknowledges under a token
	highest uint64
	settled bool
}

func (s *simulation) acknowledged(m *simMember, id string, r result) {
	if r.err != nil {
		return
	}
	o := &s.oracle
	if r.token < o.highest {
		s.fail("%w: %s acknowledges under token %d after one under %d", errViolation, m.name, r.token, o.highest)
	}
	if by, ok := o.by[r.token]; ok && by != m.name {
		s.fail("%w: %s and %s acknowledge under token %d", errViolation, by, m.name, r.token)
	}
	if p := m.permit; p.primary != m.name || p.token != r.token || p.until <= s.now {
		s.fail("%w: %s acknowledges under token %d with permit %+v", errViolation, m.name, r.token, p)
	}
	if was, ok := o.acked[id]; ok && was.at != r.at {
		s.fail("%w: %s is acknowledged at %s and at %s", errViolation, id, was.at, r.at)
	}
	o.highest, o.by[r.token], o.acked[id] = max(o.highest, r.token), m.name, r
}

// verdict looks for every acknowledged write in the last primary's log, once.
func (o *simOracle) verdict(p *core) error {
	count := map[string]int{}
	for _, e := range p.log {
		count[e.id]++
	}
	for id, r := range o.acked {
		switch {
		case count[id] == 0:
			return fmt.Errorf("%w: %s, acknowledged at %s under token %d, is lost", errViolation, id, r.at, r.token)
		case count[id] > 1:
			return fmt.Errorf("%w: %s is there %d times", errViolation, id, count[id])
		case p.log[r.at.Index-1].id != id:
			return fmt.Errorf("%w: %s is not at %s, where it was acknowledged", errViolation, id, r.at)
		}
	}
	return nil
}
