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

// Check decides on one request of the service: method is the gRPC path, shards are all values of HeaderShard. A write
// that passes is in flight until Release, which must be called. It costs less than 100 ns, without allocation.
func (g *Guard) Check(method string, shards []string) (d Decision) {
	s := g.state.Load()
	g.decide(&d, s, s.methods.Read(method) || g.cfg.broken.has(brokenUndeclaredReads), shards)
	return d
}

// Release ends a write.
func (d *Decision) Release() {
	if d.count != nil {
		d.guard.release(d.count, d.Shard)
		d.count = nil
	}
}

// decide fills in an empty decision, which is too large to be handed from one to the other.
func (g *Guard) decide(d *Decision, s *state, read bool, shards []string) {
	m := s.own
	d.Read = read
	if m == nil {
		if !read {
			d.Reason, d.detail = NoPermit, "no ownership map of the service is known yet"
		}
		return
	}
	d.Unitization = m.unitization
	shard, ok := m.shard(shards, read)
	switch {
	case !ok && g.cfg.broken.has(brokenFirstShard):
		shard, _ = route.ParseShard(shards[0], len(m.index))
	case !ok:
		d.Reason, d.Shard, d.detail = BadShard, -1, m.badShard(shards)
		return
	}
	d.Shard = shard
	if !read {
		g.admit(d, s)
	}
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

// admit decides on a write. It is counted first; what the count is worth is decided by a look at the state afterwards:
// who replaced the state in between has read the count either before (then this look sees the new state) or after (then
// it saw the write).
func (g *Guard) admit(d *Decision, s *state) {
	m, shard := s.own, d.Shard
	sp := &m.spans[m.index[shard]]
	if !sp.open || s.draining {
		g.refuse(d, s, sp)
		return
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
			d.Reason, d.detail = NoPermit, "the service is moving to another unitization"
			return
		}
		if sp = &m.spans[m.index[shard]]; !sp.open || s.draining {
			g.release(c, shard)
			g.refuse(d, s, sp)
			return
		}
	}
	left := g.left(sp, g.cfg.Clock.Now())
	if left <= 0 && !m.keep && !g.cfg.broken.has(brokenForever) {
		g.release(c, shard)
		g.refuse(d, s, sp)
		return
	}
	c.accepted.Add(1)
	d.pass(sp, left)
	d.guard, d.count = g, c
}

func (d *Decision) pass(sp *span, left time.Duration) {
	d.Since, d.Unit, d.Cell, d.Left = sp.since, sp.unit, sp.cell, left
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
func (g *Guard) refuse(d *Decision, s *state, sp *span) {
	d.Since, d.Unit = sp.since, sp.unit
	switch {
	case sp.frozen:
		d.Reason, d.detail = Frozen, "the shard is moving"
	case !sp.open:
		d.Reason, d.Cell, d.detail = WrongCell, g.elsewhere(sp, d.Shard), "another cell takes its writes"
	case s.draining:
		d.Reason, d.detail = NoPermit, "the instance is about to stop"
	default:
		d.Reason, d.detail = NoPermit, "the permit has ended and no relay gives another"
	}
}

// Load tells how many writes each shard of the service's Unitization had accepted since the start; xDS load reports
// have no shard dimension (rule 20 of xDS).
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
func (g *Guard) still(shard int, now permit.Instant) (d Decision) {
	s := g.state.Load()
	if s.own == nil || shard < 0 || shard >= len(s.own.index) {
		d.Reason, d.detail = NoPermit, "no ownership map of the service is known"
		return d
	}
	d.Unitization, d.Shard = s.own.unitization, shard
	sp := &s.own.spans[s.own.index[shard]]
	left := g.left(sp, now)
	if !sp.open || s.draining || left <= 0 && !s.own.keep {
		g.refuse(&d, s, sp)
		return d
	}
	d.pass(sp, left)
	return d
}
