package switchover

import (
	"cmp"
	"maps"
	"slices"
)

// MapAt is the range that a shard is in.
func (s State) MapAt(unitization string, shard int) (Range, bool) {
	m := s.Maps[unitization]
	if m == nil {
		return Range{}, false
	}
	i, found := slices.BinarySearchFunc(m.Ranges, shard, func(r Range, shard int) int {
		switch {
		case r.To < shard:
			return -1
		case r.From > shard:
			return 1
		}
		return 0
	})
	if !found {
		return Range{}, false
	}
	return m.Ranges[i], true
}

func (d *draft) declareMap(e DeclareMap) []Problem {
	if e.Permit <= 0 {
		return problem("spec.permit.duration", e.Permit, "must be above zero")
	}
	if have := d.Maps[e.Unitization]; have != nil {
		return d.redeclareMap(have, e)
	}
	ranges, problems := baseline(e)
	if len(problems) > 0 {
		return problems
	}
	m := &Map{Shards: e.Shards, Epoch: d.nextEpoch(), Permit: e.Permit, Keep: e.Keep}
	// It may have been declared before, and lost: permits of then may still hold.
	frozen := d.Restored != nil && !d.Restored.Waited
	for i := range ranges {
		ranges[i].Since, ranges[i].Frozen = m.Epoch, frozen
	}
	m.Ranges = merge(ranges)
	d.Maps = put(d.Maps, e.Unitization, m)
	return nil
}

func (d *draft) redeclareMap(have *Map, e DeclareMap) []Problem {
	if e.Shards != have.Shards {
		return problem("spec.shards", e.Shards, "is %d for life", have.Shards)
	}
	if e.Permit == have.Permit && e.Keep == have.Keep {
		return nil
	}
	m := d.editMap(e.Unitization)
	m.PermitBefore = max(m.PermitBefore, m.Permit)
	if m.PermitBefore <= e.Permit {
		m.PermitBefore = 0
	}
	m.Permit, m.Keep = e.Permit, e.Keep
	return nil
}

// baseline are the ranges of a new map, which must be total and disjoint.
func baseline(e DeclareMap) ([]Range, []Problem) {
	if e.Shards < 1 {
		return nil, problem("spec.shards", e.Shards, "must be 1 or more")
	}
	ranges := make([]Range, 0, len(e.Baseline))
	for _, r := range e.Baseline {
		cells := slices.Compact(slices.Sorted(slices.Values(r.Cells)))
		ranges = append(ranges, Range{From: r.From, To: r.To, Unit: r.Unit, Cells: cells})
	}
	slices.SortFunc(ranges, func(a, b Range) int { return cmp.Compare(a.From, b.From) })
	next := 0
	for _, r := range ranges {
		switch {
		case r.Unit == "" || len(r.Cells) == 0:
			return nil, problem("spec.units", r.Unit, "owns shards %s, but has no active cell", span(r.From, r.To))
		case r.From < next || r.To < r.From:
			return nil, problem("spec.units", r.Unit, "shards %s are another's too, or no range", span(r.From, r.To))
		case r.From > next:
			return nil, problem("spec.units", r.Unit, "nobody owns shards %s", span(next, r.From-1))
		}
		next = r.To + 1
	}
	if next != e.Shards {
		return nil, problem("spec.units", next, "the units own shards 0 to %d, and there are %d", next-1, e.Shards)
	}
	return ranges, nil
}

func (d *draft) retireMap(e RetireMap) []Problem {
	if d.Maps[e.Unitization] == nil {
		return nil
	}
	for name, sw := range sorted(d.Switchovers) {
		moves := slices.ContainsFunc(sw.Plan.Moves, func(m Move) bool { return m.Unitization == e.Unitization })
		if moves && !sw.Phase.Ended() {
			return problem("metadata.name", e.Unitization, "switchover %s moves its shards: end or delete that "+
				"first", name)
		}
	}
	if d.Restored != nil {
		for store, r := range sorted(d.Restored.Recoveries) {
			if slices.ContainsFunc(r.Plan.Moves, func(m Move) bool { return m.Unitization == e.Unitization }) {
				return problem("metadata.name", e.Unitization, "store %s is about to be open again, and its shards with it: "+
					"wait a moment", store)
			}
		}
	}
	d.Maps = without(d.Maps, e.Unitization)
	d.settle()
	return nil
}

// change is a copy of ranges in which edit was applied to the shards from to to, and to no others.
func change(ranges []Range, from, to int, edit func(*Range)) []Range {
	changed := make([]Range, 0, len(ranges)+2)
	for _, r := range ranges {
		if r.To < from || r.From > to {
			changed = append(changed, r)
			continue
		}
		before, inside, after := r, r, r
		if r.From < from {
			before.To = from - 1
			changed = append(changed, before)
			inside.From = from
		}
		inside.To = min(r.To, to)
		edit(&inside)
		changed = append(changed, inside)
		if r.To > to {
			after.From = to + 1
			changed = append(changed, after)
		}
	}
	return merge(changed)
}

// merge joins neighbours that are the same but for their shards, in place.
func merge(ranges []Range) []Range {
	merged := ranges[:0]
	for _, r := range ranges {
		if last := len(merged) - 1; last >= 0 && alike(merged[last], r) {
			merged[last].To = r.To
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

func alike(a, b Range) bool {
	return a.Unit == b.Unit && a.Frozen == b.Frozen && a.Since == b.Since && a.Lock == b.Lock &&
		slices.Equal(a.Cells, b.Cells) && slices.Equal(a.Left, b.Left)
}

// changeMoves applies edit to all ranges of a plan. A map's epoch becomes that of the draft when the change is one that
// holders see.
func (d *draft) changeMoves(p Plan, seen bool, edit func(Move, *Range)) {
	for _, move := range p.Moves {
		m := d.editMap(move.Unitization)
		m.Ranges = change(m.Ranges, move.From, move.To, func(r *Range) { edit(move, r) })
		if seen {
			m.Epoch = d.Epoch
		}
	}
}

// want makes the cells wanted that switchovers are about to enter, in all maps of a plan (rule 19).
func (d *draft) want(p Plan) {
	entered := map[string]map[string]bool{}
	for _, move := range p.Moves {
		entered[move.Unitization] = map[string]bool{}
	}
	for _, sw := range d.Switchovers {
		if sw.Phase < PhaseApproved || sw.Phase >= PhaseCommitted {
			continue
		}
		for _, move := range sw.Plan.Moves {
			for _, cell := range move.ToCells {
				if cells := entered[move.Unitization]; cells != nil && !slices.Contains(move.Cells, cell) {
					cells[cell] = true
				}
			}
		}
	}
	for name, cells := range entered {
		if wanted := slices.Sorted(maps.Keys(cells)); !slices.Equal(wanted, d.Maps[name].Wanted) {
			d.editMap(name).Wanted = wanted
		}
	}
}
