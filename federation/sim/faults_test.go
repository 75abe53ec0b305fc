package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// suffer makes all the faults of a schedule happen, and ends them.
func (e *estate) suffer(ctx context.Context, s schedule) {
	var all sync.WaitGroup
	defer all.Wait()
	for _, f := range s.Faults {
		select {
		case <-ctx.Done():
			return
		case <-time.After(f.At - e.now()):
		}
		all.Go(func() { e.happen(ctx, f) })
	}
}

// lasts waits until a fault is over.
func lasts(ctx context.Context, f fault) {
	select {
	case <-ctx.Done():
	case <-time.After(f.For):
	}
}

// leader is a server that believes that it leads, if there is one.
func (e *estate) leader() *life {
	var leader *life
	term := uint64(0)
	for _, name := range e.everyone() {
		if l := e.servers[name].present(); l != nil {
			if is, _ := l.core.Node().Leadership(); is.Local && is.Term >= term {
				leader, term = l, is.Term
			}
		}
	}
	return leader
}

// happen makes one fault happen.
func (e *estate) happen(ctx context.Context, f fault) {
	on := f.On
	if on == "leader" {
		on = f.To
		if l := e.leader(); l != nil {
			on = l.name
		}
		if on == f.To {
			f.To = centers[(slices.Index(centers, on)+1)%len(centers)]
		}
	}
	if p := e.programs[on]; p != nil && f.Kind != noPath {
		e.happenTo(ctx, f, p)
		return
	}
	s := e.servers[on]
	e.oracle.count(faultPrefix + string(f.Kind))
	e.log.Info("simulation: fault", "kind", string(f.Kind), "on", on, "to", f.To, "more", fmt.Sprint(f.More), "for", f.For)
	defer e.log.Info("simulation: fault is over", "kind", string(f.Kind), "on", on)
	switch f.Kind {
	case kill, powerCut:
		e.busy(ctx, f, s)
		s.kill(f.Kind == powerCut)
		lasts(ctx, f)
		s.start()
	case blackout:
		e.blackout(ctx, f)
	case pause:
		e.net.pause(on)
		let := s.disk.hang()
		lasts(ctx, fault{For: min(f.For, pausedMost)})
		e.net.resume(on)
		let()
	case isolate:
		e.cutOff(ctx, f, []string{on}, true)
	case region:
		e.cutOff(ctx, f, slices.DeleteFunc(slices.Clone(centers), func(c string) bool { return regions[c] != regions[on] }), true)
	case split:
		e.cutOff(ctx, f, append([]string{on}, f.More...), true)
	case mute:
		e.cutOff(ctx, f, []string{on}, false)
	case oneWay:
		e.net.cut(on, f.To)
		lasts(ctx, f)
		e.net.heal(on, f.To)
	case elections:
		// Short enough that some stand for election while the leader still leads the others.
		f.For = electionTimeout/2 + f.For%electionTimeout
		for _, to := range append([]string{f.To}, f.More...) {
			e.net.cut(on, to)
			defer e.net.heal(on, to)
		}
		lasts(ctx, f)
	case lossy:
		e.net.lose(on, f.To, f.Share)
		lasts(ctx, f)
		e.net.lose(on, f.To, 0)
	case slowPath:
		end := e.net.slowDown(regions[on], regions[f.To], time.Duration(f.Share/sharesMost*float64(slowest)))
		lasts(ctx, f)
		end()
	case slowDisk:
		s.disk.set(func(d *disk) { d.slow = time.Duration(f.Share * float64(2*time.Second)) })
		lasts(ctx, f)
		s.disk.set(func(d *disk) { d.slow = syncTakes })
	case hungDisk:
		let := s.disk.hang()
		lasts(ctx, f)
		let()
	case fullDisk:
		s.disk.set(func(d *disk) { d.full = true })
		lasts(ctx, f)
		s.disk.set(func(d *disk) { d.full = false })
	case failedSync:
		s.disk.set(func(d *disk) { d.fails = true })
		lasts(ctx, f)
		s.disk.set(func(d *disk) { d.fails = false })
	case transfer:
		if l := e.leader(); l != nil {
			within, cancel := context.WithTimeout(ctx, 5*time.Second)
			_ = l.core.Node().TransferLeadership(within, "")
			cancel()
		}
	case demotion:
		// The servers' own stewards give the vote back: an operator's wish has not changed.
		if l := e.leader(); l != nil {
			within, cancel := context.WithTimeout(ctx, 5*time.Second)
			if err := l.core.Node().Demote(within, f.To); err == nil {
				e.oracle.count("votes taken")
			}
			cancel()
		}
	case clockJump:
		e.jump(tenMinutes * time.Duration(1-2*(len(f.More)%2)))
		lasts(ctx, f)
		e.jump(0)
	default:
		e.happenAsPlanned(ctx, f)
	}
}

const (
	// pausedMost is below the limit on a write to disk: goroutines of a paused process cannot be stopped in a bubble,
	// and would find the disk hung.
	pausedMost = 4500 * time.Millisecond
	tenMinutes = 10 * time.Minute
)

// happenTo makes a fault happen to a program.
func (e *estate) happenTo(ctx context.Context, f fault, p *program) {
	e.oracle.count(faultPrefix + string(f.Kind) + " of agents and relays")
	e.log.Info("simulation: fault", "kind", string(f.Kind), "on", p.name, "for", f.For)
	defer e.log.Info("simulation: fault is over", "kind", string(f.Kind), "on", p.name)
	switch f.Kind {
	case kill, powerCut:
		p.kill(f.Kind == powerCut)
		lasts(ctx, f)
		p.start()
	case pause:
		e.net.pause(p.name)
		lasts(ctx, f)
		e.net.resume(p.name)
	case fullDisk:
		p.disk.set(func(d *disk) { d.full = true })
		lasts(ctx, f)
		p.disk.set(func(d *disk) { d.full = false })
	default:
		for _, other := range e.hosts() {
			if other != p.name {
				e.net.cut(p.name, other)
				e.net.cut(other, p.name)
				defer e.net.heal(p.name, other)
				defer e.net.heal(other, p.name)
			}
		}
		lasts(ctx, f)
	}
}

// cutOff cuts some centers off from the others; both ways, or only what they say.
func (e *estate) cutOff(ctx context.Context, f fault, side []string, both bool) {
	var undo []func()
	inside := func(host string) bool { return slices.Contains(side, host[strings.LastIndex(host, ".")+1:]) }
	for _, a := range e.hosts() {
		for _, b := range e.hosts() {
			if !inside(a) || inside(b) {
				continue
			}
			e.net.cut(a, b)
			undo = append(undo, func() { e.net.heal(a, b) })
			if both {
				e.net.cut(b, a)
				undo = append(undo, func() { e.net.heal(b, a) })
			}
		}
	}
	lasts(ctx, f)
	for _, heal := range undo {
		heal()
	}
}

// busy has a server's disk take its time, every other time, so that something is being written when the server ends.
func (e *estate) busy(ctx context.Context, f fault, s *center) {
	if f.Share < 0.17 {
		return
	}
	s.disk.set(func(d *disk) { d.slow = 200 * time.Millisecond })
	lasts(ctx, fault{For: time.Duration(f.Share * float64(3*time.Second))})
	s.disk.set(func(d *disk) { d.slow = syncTakes })
}

// blackout takes the power of all servers at one instant.
func (e *estate) blackout(ctx context.Context, f fault) {
	var all sync.WaitGroup
	for _, s := range e.servers {
		all.Go(func() { e.busy(ctx, f, s) })
	}
	all.Wait()
	for _, s := range e.servers {
		all.Go(func() { s.kill(true) })
	}
	all.Wait()
	lasts(ctx, f)
	for _, s := range e.servers {
		s.start() // but who is in an operator's hands, as the spare is while nobody needs it
	}
}
