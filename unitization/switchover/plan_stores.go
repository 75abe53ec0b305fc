package switchover

import (
	"fmt"
	"maps"
	"slices"
)

// aim decides a store's primary. Two decisions for one store must agree.
func (p *planner) aim(store, center, field string) {
	have, decided := p.targets[store]
	if decided && have.center != center {
		p.refuse(field, center, "%s has the primary of %s move to %s", have.field, store, have.center)
		return
	}
	p.targets[store] = target{center, field}
}

// primary is where a store's primary is, or where the superseded switchover has decided that it goes.
func (p *planner) primary(name string) string {
	if old := p.s.Switchovers[p.r.Supersedes]; old != nil {
		for _, move := range old.Plan.Stores {
			if move.Store == name {
				return move.Target
			}
		}
	}
	return p.s.Stores[name].Primary
}

// closeStores finds which stores close, and freezes every range that is behind one of them: what one fence closes moves
// as a whole.
func (p *planner) closeStores() {
	for _, m := range p.moves {
		if m.Store != "" && p.s.Stores[m.Store] == nil {
			p.refuse("spec", m.Store, "there is no such store, and unit %s needs it", m.Unit)
		}
	}
	names := map[string]bool{}
	for _, m := range p.moves {
		names[m.Store] = true
	}
	for name := range p.targets {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if store := p.s.Stores[name]; store != nil && p.closes(name, store) {
			p.close(name, store)
		}
	}
}

func (p *planner) closes(name string, store *Store) bool {
	if aimed, ok := p.targets[name]; ok && aimed.center != store.Primary || !store.Accepting {
		return true
	}
	return p.r.Mode == Disaster && slices.ContainsFunc(p.moves, func(m Move) bool {
		return m.Store == name && len(minus(m.Cells, m.ToCells)) > 0
	})
}

func (p *planner) close(name string, store *Store) {
	aimed, ok := p.targets[name]
	if !ok {
		aimed = target{center: store.Primary}
	}
	p.stores = append(p.stores, StoreMove{Store: name, Primary: store.Primary, Target: aimed.center})
	for unitization := range sorted(p.s.Maps) {
		p.keep(unitization, func(r Range) bool {
			unit, _ := p.unit(unitization, r.Unit)
			return unit.Store == name
		})
	}
	if p.r.Mode == Disaster && !store.Synchronous && !p.r.AcceptDataLoss {
		p.refuse("spec.acceptDataLoss", false, "store %s acknowledges what only its primary has: a Disaster may "+
			"lose the last "+
			"writes, and must say that this is accepted", name)
	}
}

// judge refuses a plan that is empty, or in the way of another one.
func (p *planner) judge(plan Plan) {
	if len(p.problems) > 0 {
		return
	}
	if len(plan.Moves) == 0 && len(plan.Stores) == 0 {
		p.refuse("spec", p.asked(), "there is nothing to move")
		return
	}
	for store, fact := range sorted(p.r.Facts) {
		if !plan.has(store) {
			p.refuse(fmt.Sprintf("spec.oldPrimaries[%s]", store), fact, "the switchover does not close that store")
		}
	}
	p.problems = append(p.problems, conflicts(p.s, plan, "", p.r.Supersedes)...)
}

func (p *planner) asked() string {
	switch {
	case p.r.ToBaseline:
		return "returnToBaseline"
	case len(p.r.Moves) > 0:
		return "moves"
	}
	return p.r.EvacuateRegion + p.r.EvacuateCenter
}

// near is the member that a store's primary moves to: in a center of the cells, in the order given, else in one of
// their regions, else anywhere that allowed says.
func (p *planner) near(store *Store, centers []string, allowed func(center string) bool) (string, bool) {
	takes := func(center string) bool {
		return slices.Contains(store.Members, center) && p.open(center) && allowed(center)
	}
	for _, center := range centers {
		if takes(center) {
			return center, true
		}
	}
	for _, center := range centers {
		for _, member := range store.Members {
			if p.w.Centers[member].Region == p.w.Centers[center].Region && takes(member) {
				return member, true
			}
		}
	}
	for _, member := range store.Members {
		if takes(member) {
			return member, true
		}
	}
	return "", false
}

// open says whether a center takes units.
func (p *planner) open(center string) bool {
	c, known := p.w.Centers[center]
	return known && c.Full && c.Open
}

// minus are the members of a that are not in b.
func minus(a, b []string) []string {
	var rest []string
	for _, x := range a {
		if !slices.Contains(b, x) {
			rest = append(rest, x)
		}
	}
	return rest
}
