package guard

import (
	"time"

	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/route"
)

// Decision is what a guard decided of one request. The zero Reason means that it passes.
type Decision struct {
	Reason Reason
	// Read requests pass whatever the permit says.
	Read        bool
	Unitization string
	Shard       int
	// Since is that of the shard's range; 0: not known.
	Since uint64
	// Unit owns the shard, Cell is where writes go: the guard's own when this one passes.
	Unit, Cell string
	// Left is how long the permit still held at the decision; less than 0 for a unit that keeps on without.
	Left time.Duration

	guard *Guard
	count *count
	// detail says more than the reason, for people.
	detail string
}

// Check decides on one request of the service: method is the gRPC path, shards are all values of HeaderShard. A write that
// passes is in flight until Release, which must be called. It costs less than 100 ns, without allocation.
func (g *Guard) Check(method string, shards []string) Decision {
	s := g.state.Load()
	return g.decide(s, s.methods.Read(method) || g.cfg.broken.has(brokenUndeclaredReads), shards)
}

// Release ends a write.
func (d *Decision) Release() {
	if d.count != nil {
		d.guard.release(d.count, d.Shard)
		d.count = nil
	}
}

func (g *Guard) decide(s *state, read bool, shards []string) Decision {
	m := s.own
	if m == nil {
		if read {
			return Decision{Read: true}
		}
		return Decision{Reason: NoPermit, detail: "no ownership map of the service is known yet"}
	}
	shard, ok := m.shard(shards, read)
	switch {
	case !ok && g.cfg.broken.has(brokenFirstShard):
		shard, _ = route.ParseShard(shards[0], len(m.index))
	case !ok:
		return Decision{Reason: BadShard, Unitization: m.unitization, Shard: -1, detail: m.badShard(shards)}
	}
	if read {
		return Decision{Read: true, Unitization: m.unitization, Shard: shard}
	}
	return g.admit(s, shard)
}

// shard reads the one canonical value; a single shard needs none, and a read goes on without.
func (m *owned) shard(values []string, read bool) (int, bool) {
	switch len(values) {
	case 0:
		return 0, read || len(m.index) == 1
	case 1:
		shard, err := route.ParseShard(values[0], len(m.index))
		return shard, err == nil
	}
	return 0, false
}

// admit decides on a write. It is counted first; what the count is worth is decided by a look at the state afterwards: who
// replaced the state in between has read the count either before (then this look sees the new state) or after (then it saw
// the write).
func (g *Guard) admit(s *state, shard int) Decision {
	m := s.own
	sp := &m.spans[m.index[shard]]
	if !sp.open || s.draining {
		return g.refuse(s, sp, shard)
	}
	if g.cfg.paused != nil {
		g.cfg.paused()
	}
	c := &m.counts[shard]
	c.flight.Add(1)
	if again := g.state.Load(); again != s && !g.cfg.broken.has(brokenCountsAfterCheck) {
		s, m = again, again.own
		if m == nil || &m.counts[shard] != c {
			g.release(c, shard)
			return Decision{Reason: NoPermit, detail: "the service is moving to another unitization"}
		}
		if sp = &m.spans[m.index[shard]]; !sp.open || s.draining {
			g.release(c, shard)
			return g.refuse(s, sp, shard)
		}
	}
	left := g.left(sp, g.cfg.Clock.Now())
	if left <= 0 && !m.keep && !g.cfg.broken.has(brokenForever) {
		g.release(c, shard)
		return g.refuse(s, sp, shard)
	}
	c.accepted.Add(1)
	return Decision{
		Unitization: m.unitization, Shard: shard, Since: sp.since, Unit: sp.unit, Cell: sp.cell, Left: left, guard: g, count: c,
	}
}

// left is how long the span's permit holds.
func (g *Guard) left(sp *span, now permit.Instant) time.Duration {
	if g.cfg.broken.has(brokenMonotonicOnly) {
		return sp.term.holds - now.Waited(sp.term.asked)
	}
	return sp.term.left(now)
}

// release ends a write, and asks at once when a freeze may have waited for it.
func (g *Guard) release(c *count, shard int) {
	if c.flight.Add(-1) > 0 {
		return
	}
	s := g.state.Load()
	if g.closing.Load() && s.own != nil && s.own.spans[s.own.index[shard]].left {
		g.wake()
	}
	if s.draining {
		poke(g.idle)
	}
}

// refuse says why.
func (g *Guard) refuse(s *state, sp *span, shard int) Decision {
	d := Decision{Unitization: s.own.unitization, Shard: shard, Since: sp.since, Unit: sp.unit}
	switch {
	case sp.frozen:
		d.Reason, d.detail = Frozen, "the shard is moving"
	case !sp.open:
		d.Reason, d.Cell, d.detail = WrongCell, g.elsewhere(sp, shard), "another cell takes its writes"
	case s.draining:
		d.Reason, d.detail = NoPermit, "the instance is about to stop"
	default:
		d.Reason, d.detail = NoPermit, "the permit has ended and no relay gives another"
	}
	return d
}

// Load tells how many writes each shard of the service's Unitization had accepted since the start; xDS load reports have no
// shard dimension (rule 20 of xDS).
func (g *Guard) Load(each func(shard int, accepted uint64)) {
	if m := g.state.Load().own; m != nil {
		for shard := range m.counts {
			if n := m.counts[shard].accepted.Load(); n > 0 {
				each(shard, n)
			}
		}
	}
}

// still decides anew on a write that was let through, without counting it again.
func (g *Guard) still(shard int, now permit.Instant) Decision {
	s := g.state.Load()
	if s.own == nil {
		return Decision{Reason: NoPermit, detail: "no ownership map of the service is known"}
	}
	sp := &s.own.spans[s.own.index[shard]]
	left := g.left(sp, now)
	if !sp.open || s.draining || left <= 0 && !s.own.keep {
		return g.refuse(s, sp, shard)
	}
	return Decision{Unitization: s.own.unitization, Shard: shard, Since: sp.since, Unit: sp.unit, Cell: sp.cell, Left: left}
}
