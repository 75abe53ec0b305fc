package guard

import (
	"context"
	"maps"
	"slices"
	"time"

	"pentad.dev/pentad/unitization/permit"
)

// holder is the guard towards its stream: permit.Holder, Waker and Releaser.
type holder struct{ g *Guard }

func (h holder) Granted(p *permit.Permit) { h.g.granted(p) }
func (h holder) Closed() []uint64         { return h.g.closed() }
func (h holder) Rendered() uint64         { return 0 }
func (h holder) Wakes() <-chan struct{}   { return h.g.wakes }
func (h holder) Released() bool           { return h.g.state.Load().draining && h.g.InFlight() == 0 }

func (g *Guard) granted(p *permit.Permit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.state.Load()
	s := *before
	s.all = maps.Clone(before.all)
	if s.all == nil {
		s.all = map[string]*owned{}
	}
	now := g.cfg.Clock.Now()
	t := &term{asked: p.Asked, holds: p.Holds, revision: p.Revision}
	if g.cfg.broken.has(brokenCountsFromAnswer) {
		t.asked = now
	}
	for _, m := range p.Maps {
		next, err := g.merge(s.all[m.GetUnitization()], m, t, now)
		if err != nil {
			g.cfg.Log.Error("a map of a permit is wrong and gives no right", "unitization", m.GetUnitization(), "error", err)
			continue
		}
		s.all[m.GetUnitization()] = next
	}
	g.replace(&s)
	g.tellDoors(now)
	// From here on nobody begins a write that the new maps forbid, so a count of nothing is an acknowledgement.
	g.closing.Store(true)
	for _, freeze := range g.drained() {
		if !slices.Contains(g.told, freeze) {
			g.wake()
			break
		}
	}
}

// closed are the freezes for the next ask.
func (g *Guard) closed() []uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closing.Store(true)
	g.told = g.drained()
	return g.told
}

// drained are the freezes that this guard refuses writes for and that none is in flight of, in order (rule 6). A freeze
// may close several ranges, also of several maps; it is drained when all are.
func (g *Guard) drained() []uint64 {
	flights := map[uint64]int64{}
	for _, m := range g.state.Load().all {
		for i := range m.spans {
			if sp := &m.spans[i]; sp.left {
				flights[sp.since] += m.flights(sp)
			}
		}
	}
	var freezes []uint64
	busy := false
	for _, freeze := range slices.Sorted(maps.Keys(flights)) {
		if flights[freeze] == 0 || g.cfg.broken.has(brokenClosedWithFlights) {
			freezes = append(freezes, freeze)
		} else {
			busy = true
		}
	}
	// Set before the counts were read, so that a write that ends after its count was read sees it.
	if !busy {
		g.closing.Store(false)
	}
	return freezes
}

// wake makes the stream ask at once.
func (g *Guard) wake() { poke(g.wakes) }

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// lookAtDoors is how late the observer may hear of a permit that ended by itself.
const lookAtDoors = 50 * time.Millisecond

// watchDoors tells the observer of permits that end without an answer. It has no part in any decision.
func (g *Guard) watchDoors(ctx context.Context) {
	if g.cfg.Observer == nil {
		return
	}
	look := time.NewTicker(lookAtDoors)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			g.mu.Lock()
			g.tellDoors(g.cfg.Clock.Now())
			g.mu.Unlock()
		}
	}
}
