package switchover

import (
	"fmt"
	"slices"
)

// askMove takes one move of the spec.
func (p *planner) askMove(path string, r MoveRequest) {
	m := p.s.Maps[r.Unitization]
	if _, declared := p.w.Unitizations[r.Unitization]; m == nil || !declared {
		p.refuse(path+".unitization", r.Unitization, "there is no such Unitization")
		return
	}
	unit, to, ok := p.askUnits(path, r)
	if !ok || !p.askCenters(path, r, to) {
		return
	}
	cells := cellsIn(to.Name, r.ToCenters)
	shards := r.Shards
	if len(shards) == 0 {
		shards = owned(m, unit.Name)
	}
	if len(shards) == 0 {
		p.refuse(path+".unit", unit.Name, "owns no shard")
	}
	var left []string
	for i, s := range shards {
		left = append(left, p.askShards(fmt.Sprintf("%s.shards[%d]", path, i), r, m, s, to, cells)...)
	}
	p.askPrimary(path, r, unit.Store, left)
}

func (p *planner) askUnits(path string, r MoveRequest) (unit, to Unit, ok bool) {
	unit, known := p.unit(r.Unitization, r.Unit)
	if !known || !unit.Owns {
		p.refuse(path+".unit", r.Unit, "is no unit of %s that owns shards", r.Unitization)
		return unit, to, false
	}
	if r.ToUnit == "" {
		return unit, unit, true
	}
	to, known = p.unit(r.Unitization, r.ToUnit)
	switch {
	case !known || !to.Owns:
		p.refuse(path+".toUnit", r.ToUnit, "is no unit of %s that may own shards", r.Unitization)
	case to.Store != unit.Store:
		p.refuse(path+".toUnit", r.ToUnit, "has store %q, and %s has %q: data does not move between stores", to.Store,
			unit.Name, unit.Store)
	default:
		return unit, to, true
	}
	return unit, to, false
}

func (p *planner) askCenters(path string, r MoveRequest, to Unit) bool {
	if len(r.ToCenters) == 0 {
		p.refuse(path+".toCenters", r.ToCenters, "must not be empty")
		return false
	}
	before := len(p.problems)
	for i, center := range r.ToCenters {
		field := fmt.Sprintf("%s.toCenters[%d]", path, i)
		hasCell := slices.ContainsFunc(to.Cells, func(c Cell) bool { return c.Center == center })
		if p.askCenter(field, center) && !hasCell {
			p.refuse(field, center, "unit %s has no cell there", to.Name)
		}
	}
	return len(p.problems) == before
}

func (p *planner) askCenter(field, name string) bool {
	center, known := p.w.Centers[name]
	switch {
	case !known:
		p.refuse(field, name, "there is no such center")
	case !center.Full:
		p.refuse(field, name, "is an Arbiter: it runs nothing")
	case !center.Open:
		p.refuse(field, name, "is not Open: it takes no units")
	default:
		return true
	}
	return false
}

// askShards moves one range of shards, and says which cells it leaves.
func (p *planner) askShards(path string, r MoveRequest, m *Map, s Shards, to Unit, cells []string) (left []string) {
	if s.From < 0 || s.To < s.From || s.To >= m.Shards {
		p.refuse(path, span(s.From, s.To), "must be in 0 to %d", m.Shards-1)
		return nil
	}
	for _, have := range m.Ranges {
		from, until := max(s.From, have.From), min(s.To, have.To)
		switch {
		case from > until:
		case have.Unit != r.Unit:
			p.refuse(path, span(from, until), "is unit %s's, not %s's", have.Unit, r.Unit)
		case have.Unit == to.Name && slices.Equal(have.Cells, cells) && !have.restored():
			// It is there already; but the store may move, and then takes the range along.
		default:
			left = append(left, minus(have.Cells, cells)...)
			p.moves = append(p.moves, Move{Unitization: r.Unitization, From: from, To: until, Unit: have.Unit,
				ToUnit: to.Name, Cells: have.Cells, ToCells: cells, Store: to.Store})
		}
	}
	return left
}

// askPrimary moves the store's primary where the spec says, or out of a center that the move leaves.
func (p *planner) askPrimary(path string, r MoveRequest, name string, left []string) {
	store := p.s.Stores[name]
	if r.ToPrimary != "" {
		switch {
		case store == nil:
			p.refuse(path+".toPrimary", r.ToPrimary, "unit %s has no store", r.Unit)
		case !slices.Contains(store.Members, r.ToPrimary):
			p.refuse(path+".toPrimary", r.ToPrimary, "is no member of store %s", name)
		case p.askCenter(path+".toPrimary", r.ToPrimary):
			p.aim(name, r.ToPrimary, path+".toPrimary")
		}
		return
	}
	leaves := func(center string) bool {
		return slices.ContainsFunc(left, func(cell string) bool { return CellCenter(cell) == center })
	}
	if store == nil || !leaves(p.primary(name)) {
		return
	}
	if primary, ok := p.near(store, r.ToCenters, func(center string) bool { return !leaves(center) }); ok {
		if _, decided := p.targets[name]; !decided {
			p.aim(name, primary, path+".toCenters")
		}
	}
}

func (p *planner) refuseOverlaps() {
	for i, a := range p.moves {
		for _, b := range p.moves[:i] {
			if from, to := max(a.From, b.From), min(a.To, b.To); a.Unitization == b.Unitization && from <= to {
				p.refuse("spec.moves", span(from, to), "the shards of %s are moved twice", a.Unitization)
			}
		}
	}
}

// owned are the shards of a unit.
func owned(m *Map, unit string) []Shards {
	var shards []Shards
	for _, r := range m.Ranges {
		if r.Unit == unit {
			shards = append(shards, Shards{r.From, r.To})
		}
	}
	return shards
}

// toBaseline moves everything to where it is declared.
func (p *planner) toBaseline() {
	const field = "spec.returnToBaseline"
	for unitization, m := range sorted(p.s.Maps) {
		declared, known := p.w.Unitizations[unitization]
		if !known {
			continue
		}
		for _, unit := range declared.Units {
			var centers []string
			for _, cell := range unit.Cells {
				if !cell.Standby {
					centers = append(centers, cell.Center)
				}
			}
			for _, s := range unit.Baseline {
				p.returnShards(field, unitization, m, s, unit, centers)
			}
		}
	}
	for name, declared := range sorted(p.w.Stores) {
		if store := p.s.Stores[name]; store != nil && p.primary(name) != declared.Primary {
			if p.askCenter(field, declared.Primary) {
				p.aim(name, declared.Primary, field)
			}
		}
	}
}

func (p *planner) returnShards(field, unitization string, m *Map, s Shards, unit Unit, centers []string) {
	cells := cellsIn(unit.Name, centers)
	for _, have := range m.Ranges {
		from, to := max(s.From, have.From), min(s.To, have.To)
		if from > to || have.Unit == unit.Name && slices.Equal(have.Cells, cells) {
			continue
		}
		for _, center := range centers {
			p.askCenter(field, center)
		}
		if owner, _ := p.unit(unitization, have.Unit); owner.Store != unit.Store {
			p.refuse(field, unit.Name, "shards %s are unit %s's, which has another store", span(from, to), have.Unit)
			continue
		}
		p.move(unitization, have, from, to, unit.Name, cells)
	}
}
