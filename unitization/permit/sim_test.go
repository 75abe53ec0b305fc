package permit

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"pentad.dev/pentad/unitization/switchover"
)

// world is a small estate on virtual clocks: guards of two cells ask relays, relays ask servers, a leader freezes
// shards and gives them to the other cell once all have acknowledged or the wait is over. Messages are late or lost,
// processes pause, are suspended, restart, move; clocks drift by up to 1 % and are set. Hops, askers, terms and the
// check of sessions are the real ones; guards and the leader are models that keep the rules, except the one that a test
// breaks.
type world struct {
	rng  *rand.Rand
	now  time.Duration
	hop  breakage
	bug  simBug
	mail []letter

	state    switchover.State
	revision uint64
	terms    Terms
	t        time.Duration // T
	// fixedT says that T is not changed. Only then a relay may come back under its old session: a hop waits for as long
	// as permits hold now, what held longer before is the business of its old session.
	fixedT bool
	// mood is what there is much of: nothing, guards that move, or messages that are lost.
	mood mood
	// answered is when a server last answered: a freeze right after that is the hardest.
	answered time.Duration
	names    int
	// floor is, for each shard, the freeze before which every right is over in the leader's opinion.
	floor [shards]uint64

	leader *leader
	relays []*simRelay
	guards []*simGuard

	stats struct{ accepts, acked, waited, freezes, lapses int }
}

const (
	shards = 4
	center = "x"
)

type mood int

const (
	calm mood = iota
	restless
	deaf
)

// simBug is a rule that the models break, or the servers.
type simBug int

const (
	noBug simBug = iota
	guardIgnoresEnd
	guardGoesBack
	guardNoDrain
	serverUnregistered
	serverAnswersClosed
	serverStaleRead
	leaderForgetsClosed
	leaderRemovesAtOnce
	leaderLogTimestamp
	leaderNewTOnly
)

// letter is a message under way to a process.
type letter struct {
	at   time.Duration
	to   *proc
	born int // the process that it is for
	do   func()
}

// proc is a process with its clock.
type proc struct {
	w *world
	// gain is how much faster than true time its clock runs, in 1/10000, up to 100.
	gain         int64
	offset, wall time.Duration
	lost         time.Duration
	// still is until when it does nothing.
	still    time.Duration
	born     int
	suspends bool
}

func (p *proc) Now() Instant {
	mono := p.offset + p.w.now - p.lost
	mono += mono * time.Duration(p.gain) / 10000
	wall := p.w.now + p.w.now*time.Duration(p.gain)/10000 + p.wall
	return Instant{mono: mono, wall: wall}
}

// restart makes another process of it; the machine's clock stays.
func (p *proc) restart() { p.born++ }

func (w *world) newProc() *proc {
	gain := int64(w.rng.IntN(101))
	if w.rng.IntN(2) == 0 { // the worst pairs are the extremes
		gain = int64(w.rng.IntN(2)) * 100
	}
	return &proc{
		w: w, gain: gain, offset: time.Duration(w.rng.IntN(100)) * time.Second,
		wall: time.Duration(w.rng.IntN(20)-10) * time.Second, suspends: w.rng.IntN(2) == 0,
	}
}

func newWorld(seed uint64, hop breakage, bug simBug) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 77)), hop: hop, bug: bug, revision: 1}
	w.t = []time.Duration{time.Second, 2 * time.Second, 5 * time.Second}[w.rng.IntN(3)]
	w.fixedT, w.mood = w.rng.IntN(2) == 0, mood(w.rng.IntN(3))
	w.state = switchover.State{
		Epoch: 1, Maps: map[string]*switchover.Map{}, Sessions: map[string]*switchover.Session{},
		Switchovers: map[string]*switchover.Switchover{},
	}
	w.state.Maps["m"] = &switchover.Map{Shards: shards, Epoch: 1, Permit: w.t, Ranges: []switchover.Range{
		{From: 0, To: 1, Unit: "a", Cells: []string{"a.x"}, Since: 1},
		{From: 2, To: 3, Unit: "b", Cells: []string{"b.x"}, Since: 1},
	}}
	w.committed()
	w.leader = &leader{proc: w.newProc(), asked: map[string]time.Duration{}, closedAt: map[string]Instant{}}
	for range 2 + w.rng.IntN(2) {
		r := &simRelay{proc: w.newProc(), keepsSession: w.fixedT && w.rng.IntN(2) == 0}
		w.relays = append(w.relays, r)
		r.start()
	}
	for i := range 3 + w.rng.IntN(3) {
		g := &simGuard{proc: w.newProc(), cell: []string{"a.x", "b.x"}[i%2], relay: w.rng.IntN(len(w.relays))}
		w.guards = append(w.guards, g)
		g.start()
	}
	return w
}

// committed is called after each change of the state.
func (w *world) committed() {
	w.revision++
	w.terms = TermsOf(w.state, switchover.Relay, center, nil)
}

// send delivers to a process some time from now, or never. Messages of one stream keep their order.
func (w *world) send(after *time.Duration, to *proc, do func()) {
	if n := w.rng.IntN(30); n == 0 || w.mood == deaf && n < 12 {
		return
	}
	at := w.now + time.Duration(w.rng.IntN(20))*time.Millisecond
	if w.rng.IntN(20) == 0 {
		at = w.now + time.Duration(w.rng.IntN(2500))*time.Millisecond
	}
	at = max(at, *after)
	*after = at
	w.mail = append(w.mail, letter{at: at, to: to, born: to.born, do: do})
}

// run lives for a while, and says which promise was broken.
func (w *world) run(length time.Duration) error {
	for w.now < length {
		w.now += time.Duration(1+w.rng.IntN(25)) * time.Millisecond
		w.deliver()
		w.leader.act()
		for _, r := range w.relays {
			if w.disturb(r.proc) {
				r.act()
			}
		}
		for _, g := range w.guards {
			if w.disturb(g.proc) {
				g.act()
			}
		}
		if err := w.check(); err != nil {
			return fmt.Errorf("at %s: %w", w.now, err)
		}
	}
	return nil
}

func (w *world) deliver() {
	var rest, due []letter
	for _, l := range w.mail {
		switch {
		case l.born != l.to.born: // died
		case l.at > w.now || l.to.still > w.now:
			rest = append(rest, l)
		default:
			due = append(due, l)
		}
	}
	w.mail = rest
	slices.SortStableFunc(due, func(a, b letter) int { return int(a.at - b.at) })
	for _, l := range due {
		if l.born == l.to.born {
			l.do()
		}
	}
}

// disturb pauses a process now and then, and says whether it runs. A machine that may be suspended is never set back:
// both within one permit is the limit that DESIGN.md names.
func (w *world) disturb(p *proc) bool {
	if p.still > w.now {
		return false
	}
	switch w.rng.IntN(3000) {
	case 0, 1: // the process is stopped, its clocks run on
		p.still = w.now + time.Duration(w.rng.IntN(7000))*time.Millisecond
	case 2, 3:
		if p.suspends {
			d := time.Duration(w.rng.IntN(7000)) * time.Millisecond
			p.still, p.lost = w.now+d, p.lost+d
		}
	case 4:
		p.wall += time.Duration(w.rng.IntN(8000)) * time.Millisecond
	case 5:
		if !p.suspends {
			p.wall -= time.Duration(w.rng.IntN(8000)) * time.Millisecond
		}
	}
	return p.still <= w.now
}

// check: no guard may accept a write under a right that the leader takes for over.
func (w *world) check() error {
	for i, g := range w.guards {
		if g.still > w.now {
			continue
		}
		g.noteLapse()
		for shard := range shards {
			if since, ok := g.accepts(shard); ok && since < w.floor[shard] {
				return fmt.Errorf("guard %d of %s accepts shard %d by since %d: the leader takes all before %d for over",
					i, g.cell, shard, since, w.floor[shard])
			}
		}
	}
	return nil
}
