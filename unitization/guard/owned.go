package guard

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/route"
)

// owned is the ownership map of one Unitization as this guard knows it: immutable but for the counts, which all
// versions of the map share.
type owned struct {
	unitization string
	epoch       uint64
	revision    uint64
	keep        bool
	spans       []span
	// index is the span by shard.
	index  []uint16
	counts []count
}

// span is a range of shards under one owner and one permit.
type span struct {
	from, to int
	unit     string
	cells    []string
	frozen   bool
	since    uint64
	// left says that an own cell took writes until the freeze since.
	left bool
	// open says that an own cell, cell, takes writes.
	open bool
	cell string
	// term is the permit that names the span as it is here; nil: none.
	term *term
}

// term is how long a permit holds.
type term struct {
	asked    permit.Instant
	holds    time.Duration
	revision uint64
}

func (t *term) left(now permit.Instant) time.Duration {
	if t == nil {
		return 0
	}
	return t.holds - now.Sub(t.asked)
}

// count is the writes of one shard, alone in its cache line with the next three.
type count struct {
	flight   atomic.Int64
	accepted atomic.Uint64
}

func (m *owned) flights(sp *span) int64 {
	var n int64
	for shard := sp.from; shard <= sp.to; shard++ {
		n += m.counts[shard].flight.Load()
	}
	return n
}

// merge is what is known after an answer. Known is nil at first.
func (g *Guard) merge(known *owned, m *permitpb.Map, t *term, now permit.Instant) (*owned, error) {
	if known != nil && known.epoch == m.GetEpoch() && known.term() != nil {
		return known.renewed(m, t, now), nil
	}
	spans, err := g.spansOf(m, t)
	if err != nil {
		return nil, err
	}
	next := &owned{unitization: m.GetUnitization(), epoch: m.GetEpoch(), revision: t.revision, keep: m.GetKeep()}
	if known == nil {
		next.counts = make([]count, m.GetShards())
		next.lay(spans)
		return next, nil
	}
	if len(known.index) != int(m.GetShards()) {
		return nil, fmt.Errorf("shards: %d: must be %d, as since this guard began: their number is fixed for life",
			m.GetShards(), len(known.index))
	}
	next.counts = known.counts
	if t.revision < known.revision {
		next.keep, next.revision = known.keep, known.revision
	}
	next.epoch = max(next.epoch, known.epoch)
	if g.cfg.broken.has(brokenGoesBack) {
		next.epoch = m.GetEpoch()
		next.lay(spans)
		return next, nil
	}
	next.lay(newest(known, spans, now))
	return next, nil
}

// term is that of all spans; nil when they differ.
func (m *owned) term() *term {
	t := m.spans[0].term
	for i := range m.spans {
		if m.spans[i].term != t {
			return nil
		}
	}
	return t
}

// renewed is the same map under the permit that ends later.
func (m *owned) renewed(answer *permitpb.Map, t *term, now permit.Instant) *owned {
	next := *m
	if t.revision >= m.revision {
		next.keep, next.revision = answer.GetKeep(), t.revision
	}
	if t.left(now) >= m.spans[0].term.left(now) {
		next.spans = slices.Clone(m.spans)
		for i := range next.spans {
			next.spans[i].term = t
		}
	}
	return &next
}

// newest takes each shard's span with the higher since: guards never go back (rule 6). What an older answer says of
// another time is no right for now, so the known span then stays under its own permit; where both say the same, the
// permit that ends later counts.
func newest(known *owned, answer []span, now permit.Instant) []span {
	var spans []span
	var before *span
	at := 0
	for shard := range known.index {
		for answer[at].to < shard {
			at++
		}
		from := &answer[at]
		if old := &known.spans[known.index[shard]]; old.since > from.since ||
			old.since == from.since && old.term.left(now) > from.term.left(now) {
			from = old
		}
		if from != before {
			spans = append(spans, *from)
			spans[len(spans)-1].from = shard
			before = from
		}
		spans[len(spans)-1].to = shard
	}
	return spans
}

// lay makes spans the map's.
func (m *owned) lay(spans []span) {
	m.spans, m.index = spans, make([]uint16, len(m.counts))
	for i := range spans {
		for shard := spans[i].from; shard <= spans[i].to; shard++ {
			m.index[shard] = uint16(i)
		}
	}
}

// spansOf compiles a map; it fails when the ranges do not hold every shard once.
func (g *Guard) spansOf(m *permitpb.Map, t *term) ([]span, error) {
	if m.GetShards() < 1 || m.GetShards() > route.MaxShards {
		return nil, fmt.Errorf("shards: %d: must be 1 to %d", m.GetShards(), route.MaxShards)
	}
	next := 0
	var spans []span
	for i, r := range m.GetRanges() {
		sp := span{
			from: int(r.GetFrom()), to: int(r.GetTo()), unit: r.GetUnit(), cells: r.GetCells(), frozen: r.GetFrozen(),
			since: r.GetSince(), term: t, cell: g.cfg.Cells[0],
		}
		if sp.from != next || sp.to < sp.from || sp.to >= int(m.GetShards()) {
			return nil, fmt.Errorf("ranges[%d]: %d-%d: ranges must be sorted and disjoint, and hold every shard",
				i, sp.from, sp.to)
		}
		next = sp.to + 1
		for _, cell := range g.cfg.Cells {
			sp.left = sp.left || slices.Contains(r.GetLeft(), cell)
			if slices.Contains(sp.cells, cell) {
				sp.cell, sp.open = cell, !sp.frozen
			}
		}
		if g.cfg.broken.has(brokenAnyCell) {
			sp.open = !sp.frozen
		}
		sp.left = sp.left && !sp.open
		spans = append(spans, sp)
	}
	if next != int(m.GetShards()) {
		return nil, fmt.Errorf("ranges: shard %d has no owner", next)
	}
	return spans, nil
}

// elsewhere is a cell that takes the span's writes: one near, or else any, by shard, so that the load is spread.
func (g *Guard) elsewhere(sp *span, shard int) string {
	if len(sp.cells) == 0 {
		return ""
	}
	for _, cell := range sp.cells {
		if strings.HasSuffix(cell, "."+g.cfg.Center) {
			return cell
		}
	}
	return sp.cells[shard%len(sp.cells)]
}
