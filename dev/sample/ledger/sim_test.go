package ledger

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"pentad.dev/pentad/dev/sample/ledger/ledgerpb"
	"pentad.dev/pentad/dev/sample/record"
	"pentad.dev/pentad/unitization/fence"
)

// The simulation runs the cores of three members with disks that lose what was not synced, streams that break and leave
// late messages behind, agents that see orders late and repeat their calls, permits that arrive late, and an intent
// that runs one switchover after the other, planned and disaster, and aborts some. An oracle watches every
// acknowledgement.

// simPermit is how long a permit holds, in steps.
const simPermit = 60

type simGrant struct {
	token   uint64
	primary string
	until   int
}

// simMember is a member with its agent.
type simMember struct {
	name   string
	core   *core
	disk   *simDisk
	up     bool
	permit simGrant
	// seen is the last order that the agent has seen, calls are those under way, reports what it has to say.
	seen    *fence.Order
	calls   []fence.Order
	made    []fence.Order // some of the past, which may come once more
	reports []simReport
}

type simReport struct {
	order fence.Order
	state fence.State
}

type simulation struct {
	rand    *rand.Rand
	broken  breakage
	wrong   wrongOrder
	now     int
	members []*simMember
	pipes   map[[2]string]*simPipe
	late    []simLate
	cut     map[string]bool // members that no other reaches
	intent  simIntent
	oracle  simOracle
	writes  int
	failed  error
}

var simNames = []string{"hz", "sh", "sz"}

func newSimulation(seed uint64, broken breakage, wrong wrongOrder) *simulation {
	s := &simulation{
		rand: rand.New(rand.NewPCG(seed, 7)), broken: broken, wrong: wrong,
		pipes: map[[2]string]*simPipe{}, cut: map[string]bool{},
		oracle: simOracle{acked: map[string]result{}, by: map[uint64]string{}},
	}
	s.intent = simIntent{primary: "hz", accepting: true, epoch: 10}
	for _, name := range simNames {
		m := &simMember{name: name, disk: &simDisk{}}
		s.members = append(s.members, m)
		s.start(m)
	}
	for _, p := range simNames {
		for _, q := range simNames {
			s.pipes[[2]string{p, q}] = &simPipe{}
		}
	}
	return s
}

func (s *simulation) member(name string) *simMember { return s.members[slices.Index(simNames, name)] }

func (s *simulation) start(m *simMember) {
	var entries []entry
	for i, r := range m.disk.records {
		e, _, err := decodeEntry(r, uint64(i+1))
		if err != nil {
			panic(err)
		}
		entries = append(entries, e)
	}
	var peers []string
	for _, name := range simNames {
		if name != m.name {
			peers = append(peers, name)
		}
	}
	m.core = newCore("orders", m.name, peers, m.disk, entries, m.disk.token)
	m.core.broken, m.up, m.permit = s.broken, true, simGrant{}
	m.core.now = func() record.Time { return record.Time(s.now) }
	m.core.permit = func() (uint64, time.Duration, bool) {
		return m.permit.token, time.Duration(m.permit.until - s.now), m.permit.primary == m.name
	}
}

func (s *simulation) crash(m *simMember) {
	if !m.up {
		return
	}
	m.up = false
	m.disk.crash(s.rand)
	for _, p := range simNames { // in order: a seed is one history
		for _, q := range simNames {
			if p == m.name || q == m.name {
				s.breakPipe([2]string{p, q})
			}
		}
	}
}

// run takes steps at random, then heals everything and sees that writes are taken again and nothing is lost.
func (s *simulation) run(steps int) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("step %d: %v", s.now, p)
		}
	}()
	for range steps {
		s.step(true)
		if s.failed != nil {
			return s.failed
		}
	}
	s.cut = map[string]bool{}
	for range 4000 {
		for _, m := range s.members {
			if !m.up {
				s.start(m)
			}
		}
		s.step(false)
		if s.failed != nil {
			return s.failed
		}
		if done, err := s.settled(); done {
			return err
		}
	}
	return fmt.Errorf("step %d: no writes are taken any more: order %+v\n%s", s.now, s.intent.order, s.picture())
}

func (s *simulation) picture() string {
	text := fmt.Sprintf("phase %d\n", s.intent.phase)
	for _, m := range s.members {
		c := m.core
		text += fmt.Sprintf("%s: %s of %d..%d open %t begins %d at %s, acknowledged %d, keeps %d, permit %+v, %s\n",
			m.name, c.role, c.since, c.stint, c.open, c.begins, c.position(), c.committed, c.token, m.permit, c.problem)
		for peer, l := range c.links {
			text += fmt.Sprintf("  %s: %+v\n", peer, *l)
		}
	}
	return text
}

func (s *simulation) settled() (bool, error) {
	i := &s.intent
	if i.phase != simIdle || s.now%50 != 0 {
		return false, nil
	}
	p := s.member(i.primary).core
	if s.oracle.settled {
		return true, s.oracle.verdict(p)
	}
	p.append([]write{{
		Write: &ledgerpb.Write{Id: fmt.Sprint("last ", s.now), Since: everyEpoch},
		done:  func(r result) { s.oracle.settled = s.oracle.settled || r.err == nil },
	}})
	return false, nil
}

func (s *simulation) step(faults bool) {
	s.now++
	m := s.members[s.rand.IntN(len(s.members))]
	n := s.rand.IntN(100)
	switch {
	case n < 10 && faults:
		s.write(m)
	case n < 65:
		for range 4 {
			s.carry()
		}
	case n < 75:
		s.grant(m)
	case n < 90:
		for range 3 {
			s.agent(m)
		}
	case n < 93:
		s.control(faults)
	case n < 96:
		if m.up {
			for _, name := range simNames {
				if name != m.name {
					m.core.beat(name)
				}
			}
			m.core.tick()
		}
	case n < 97 && len(s.late) > 0:
		i := s.rand.IntN(len(s.late))
		l := s.late[i]
		s.late = slices.Delete(s.late, i, i+1)
		if to := s.member(l.to); to.up {
			_, _ = to.core.replicate(l.request)
		}
	case faults:
		s.fault(m)
	}
}

func (s *simulation) fault(m *simMember) {
	switch n := s.rand.IntN(40); {
	case n == 0:
		s.crash(m)
	case n < 6 && !m.up:
		s.start(m)
	case n == 7:
		s.cut[m.name] = true
	case n < 12:
		delete(s.cut, m.name)
	case n < 15:
		s.breakPipe([2]string{m.name, simNames[s.rand.IntN(3)]})
	}
}

// write gives a member a write, a new one or one that was given to some member before.
func (s *simulation) write(m *simMember) {
	if !m.up {
		return
	}
	if s.rand.IntN(4) > 0 {
		m = s.member(s.intent.primary) // clients mostly know
		if !m.up {
			return
		}
	}
	if s.writes == 0 || s.rand.IntN(4) > 0 {
		s.writes++
	}
	id := fmt.Sprint("w", s.writes-s.rand.IntN(min(s.writes, 5)))
	m.core.append([]write{{Write: &ledgerpb.Write{Id: id, Since: everyEpoch}, done: func(r result) { s.acknowledged(m, id, r) }}})
}

// grant gives a member a permit that it asked for a while ago.
func (s *simulation) grant(m *simMember) {
	if !m.up || s.cut[m.name] && s.rand.IntN(4) > 0 {
		return
	}
	m.permit = s.intent.permit(s.now)
	m.core.tick()
}

func (s *simulation) fail(format string, args ...any) {
	if s.failed == nil {
		s.failed = fmt.Errorf("step %d: %w", s.now, fmt.Errorf(format, args...))
	}
}

var errViolation = errors.New("violation")
