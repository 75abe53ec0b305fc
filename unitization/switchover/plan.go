package switchover

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

// MakePlan expands a request into a plan, or says what is wrong with it. The same world, state and request give the
// same plan. Approve makes it again: a plan that has changed since is another one (rule 22).
func MakePlan(w World, s State, r Request) (Plan, []Problem) {
	p := &planner{w: w, s: s, r: r, targets: map[string]target{}}
	p.ask()
	if len(p.problems) > 0 {
		return Plan{}, p.problems
	}
	p.keepSuperseded()
	p.closeStores()
	plan := p.plan()
	p.judge(plan)
	if len(p.problems) > 0 {
		return Plan{}, p.problems
	}
	return plan, nil
}

// planner makes one plan.
type planner struct {
	w        World
	s        State
	r        Request
	moves    []Move
	targets  map[string]target // by store: primaries that the request decides
	stores   []StoreMove
	problems []Problem
}

// target is where a primary goes, and the field that says so.
type target struct{ center, field string }

func (p *planner) refuse(field string, value any, format string, args ...any) {
	p.problems = append(p.problems, problem(field, value, format, args...)...)
}

func (p *planner) ask() {
	p.askTerms()
	asked := 0
	for _, is := range []bool{p.r.EvacuateRegion != "", p.r.EvacuateCenter != "", len(p.r.Moves) > 0, p.r.ToBaseline} {
		if is {
			asked++
		}
	}
	if asked != 1 {
		p.refuse("spec", asked, "exactly one of evacuate.region, evacuate.center, moves and returnToBaseline must "+
			"be set")
		return
	}
	switch {
	case p.r.EvacuateRegion != "" || p.r.EvacuateCenter != "":
		p.evacuate()
	case p.r.ToBaseline:
		p.toBaseline()
	default:
		for i, move := range p.r.Moves {
			p.askMove(fmt.Sprintf("spec.moves[%d]", i), move)
		}
		p.refuseOverlaps()
	}
}

func (p *planner) askTerms() {
	if p.r.Mode != Planned && p.r.Mode != Disaster {
		p.refuse("spec.mode", p.r.Mode, "must be Planned or Disaster")
	}
	for store, fact := range sorted(p.r.Facts) {
		path := fmt.Sprintf("spec.oldPrimaries[%s]", store)
		switch {
		case p.r.Mode != Disaster:
			p.refuse(path, fact, "only in a Disaster")
		case p.s.Stores[store] == nil:
			p.refuse(path, fact, "there is no such store")
		case fact != PoweredOff && fact != BreakGlass:
			p.refuse(path, fact, "must be PoweredOff or BreakGlass")
		}
	}
	d := draft{State: p.s}
	if old := p.s.Switchovers[p.r.Supersedes]; p.r.Supersedes != "" && (p.r.Mode != Disaster || old == nil ||
		!old.Phase.Running() || !old.NoReturn) {
		p.problems = append(p.problems, d.checkSupersedes(&Switchover{Mode: p.r.Mode, Supersedes: p.r.Supersedes})...)
	}
}

// keepSuperseded takes over what the superseded switchover holds and this one would leave where it is.
func (p *planner) keepSuperseded() {
	old := p.s.Switchovers[p.r.Supersedes]
	if old == nil {
		return
	}
	for _, move := range old.Plan.Moves {
		p.keep(move.Unitization, func(r Range) bool { return r.Lock == old.Name })
	}
	for _, move := range old.Plan.Stores {
		if _, decided := p.targets[move.Store]; !decided {
			p.targets[move.Store] = target{move.Target, "spec.supersedes"}
		}
	}
}

// keep freezes ranges for a while, and leaves them where they are.
func (p *planner) keep(unitization string, which func(Range) bool) {
	m := p.s.Maps[unitization]
	if m == nil {
		return
	}
	for _, r := range m.Ranges {
		if which(r) {
			p.move(unitization, r, r.From, r.To, r.Unit, r.Cells)
		}
	}
}

// move adds what of the shards from to to of a range does not move yet.
func (p *planner) move(unitization string, r Range, from, to int, toUnit string, toCells []string) {
	for _, m := range p.moves {
		if m.Unitization != unitization || m.To < from || m.From > to {
			continue
		}
		if from < m.From {
			p.move(unitization, r, from, m.From-1, toUnit, toCells)
		}
		if to > m.To {
			p.move(unitization, r, m.To+1, to, toUnit, toCells)
		}
		return
	}
	unit, _ := p.unit(unitization, r.Unit)
	p.moves = append(p.moves, Move{Unitization: unitization, From: from, To: to, Unit: r.Unit, ToUnit: toUnit,
		Cells: r.Cells, ToCells: toCells, Store: unit.Store})
}

func (p *planner) unit(unitization, name string) (Unit, bool) {
	return p.w.unit(unitization, name)
}

// plan puts in order what was found, so that equal plans are equal to the byte.
func (p *planner) plan() Plan {
	slices.SortFunc(p.moves, func(a, b Move) int {
		return cmp.Or(cmp.Compare(a.Unitization, b.Unitization), cmp.Compare(a.From, b.From))
	})
	var moves []Move
	for _, m := range p.moves {
		if last := len(moves) - 1; last >= 0 && joins(moves[last], m) {
			moves[last].To = m.To
			continue
		}
		moves = append(moves, m)
	}
	slices.SortFunc(p.stores, func(a, b StoreMove) int { return cmp.Compare(a.Store, b.Store) })
	return Plan{Moves: moves, Stores: p.stores}
}

func joins(a, b Move) bool {
	return a.Unitization == b.Unitization && a.To+1 == b.From && a.Unit == b.Unit && a.ToUnit == b.ToUnit &&
		a.Store == b.Store && slices.Equal(a.Cells, b.Cells) && slices.Equal(a.ToCells, b.ToCells)
}

// Hash identifies a plan for its approval: 32 hexadecimal digits, the same wherever it is made.
func (p Plan) Hash() string {
	h := sha256.New()
	for _, m := range p.Moves {
		fmt.Fprintf(h, "move %q %d %d %q %q %q %q %q\n", m.Unitization, m.From, m.To, m.Unit, m.ToUnit, m.Cells,
			m.ToCells, m.Store)
	}
	for _, m := range p.Stores {
		fmt.Fprintf(h, "store %q %q %q\n", m.Store, m.Primary, m.Target)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
