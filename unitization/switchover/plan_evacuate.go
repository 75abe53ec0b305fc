package switchover

import "slices"

// evacuate moves everything out of a region or a center: what has an active cell there, and what has its store's
// primary there.
func (p *planner) evacuate() {
	field, place := "spec.evacuate.center", p.r.EvacuateCenter
	if p.r.EvacuateRegion != "" {
		field, place = "spec.evacuate.region", p.r.EvacuateRegion
	}
	known := false
	for center := range p.w.Centers {
		known = known || p.inside(center)
	}
	if !known {
		p.refuse(field, place, "there is no such place")
		return
	}
	for unitization, m := range sorted(p.s.Maps) {
		for _, r := range m.Ranges {
			p.evacuateRange(field, unitization, r)
		}
	}
}

// inside says whether a center is what is evacuated.
func (p *planner) inside(center string) bool {
	if p.r.EvacuateRegion != "" {
		return p.w.Centers[center].Region == p.r.EvacuateRegion
	}
	return center == p.r.EvacuateCenter
}

func (p *planner) evacuateRange(field, unitization string, r Range) {
	unit, known := p.unit(unitization, r.Unit)
	if !known {
		p.refuse(field, r.Unit, "owns shards %s of %s, and is not declared", span(r.From, r.To), unitization)
		return
	}
	store := p.s.Stores[unit.Store]
	primaryInside := store != nil && p.inside(p.primary(unit.Store))
	var remaining []string
	for _, cell := range r.Cells {
		if !p.inside(CellCenter(cell)) {
			remaining = append(remaining, cell)
		}
	}
	if len(remaining) == len(r.Cells) && !primaryInside {
		return
	}
	centers := p.outside(unit)
	if len(remaining) == 0 || primaryInside {
		if len(centers) == 0 {
			p.refuse(field, unit.Name, "the unit has no cell in an open center outside")
			return
		}
		remaining = cellsIn(unit.Name, centers)
	}
	p.move(unitization, r, r.From, r.To, r.Unit, remaining)
	if !primaryInside {
		return
	}
	primary, ok := p.near(store, centers, func(center string) bool { return !p.inside(center) })
	if !ok {
		p.refuse(field, unit.Store, "the store has no member in an open center outside")
		return
	}
	if _, decided := p.targets[unit.Store]; !decided {
		p.aim(unit.Store, primary, field)
	}
}

// outside are the centers that a unit is evacuated to: of its cells outside, in the order declared, those in the region
// of the first.
func (p *planner) outside(unit Unit) []string {
	var centers []string
	for _, cell := range unit.Cells {
		if p.inside(cell.Center) || !p.open(cell.Center) {
			continue
		}
		if len(centers) == 0 || p.w.Centers[centers[0]].Region == p.w.Centers[cell.Center].Region {
			centers = append(centers, cell.Center)
		}
	}
	return centers
}

func cellsIn(unit string, centers []string) []string {
	cells := make([]string, 0, len(centers))
	for _, center := range centers {
		cells = append(cells, CellName(unit, center))
	}
	slices.Sort(cells)
	return slices.Compact(cells)
}
