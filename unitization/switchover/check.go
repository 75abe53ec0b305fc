package switchover

import (
	"fmt"
	"slices"
)

// check says why a switchover cannot be declared or approved in the present state: what it moves must be as its plan
// says, and in no other running switchover.
func (d *draft) check(sw *Switchover) []Problem {
	if len(sw.Plan.Moves) == 0 && len(sw.Plan.Stores) == 0 {
		return problem("spec", sw.Name, "there is nothing to move")
	}
	problems := d.checkSupersedes(sw)
	for i, move := range sw.Plan.Moves {
		problems = append(problems, d.checkMove(fmt.Sprintf("status.plan[%d]", i), sw, move)...)
	}
	for i, move := range sw.Plan.Stores {
		problems = append(problems, d.checkStore(fmt.Sprintf("status.storePlan[%d]", i), sw, move)...)
	}
	problems = append(problems, d.checkRestored(sw)...)
	if d.broken.has(brokenNoLocks) {
		return problems
	}
	return append(problems, conflicts(d.State, sw.Plan, sw.Name, sw.Supersedes)...)
}

func (d *draft) checkMove(path string, sw *Switchover, move Move) []Problem {
	m := d.Maps[move.Unitization]
	if m == nil || move.From < 0 || move.To < move.From || move.To >= m.Shards {
		return problem(path, move.Unitization, "there is no such map, or not shards %s", span(move.From, move.To))
	}
	if len(move.ToCells) == 0 || move.ToUnit == "" {
		return problem(path, move.Unitization, "nobody would own shards %s", span(move.From, move.To))
	}
	for _, r := range m.Ranges {
		outside := r.To < move.From || r.From > move.To
		if outside || r.Unit == move.Unit && slices.Equal(r.Cells, move.Cells) {
			continue
		}
		return problem(path, move.Unit, "shards %s are now unit %s's, in cells %v: declare the switchover again",
			span(max(r.From, move.From), min(r.To, move.To)), r.Unit, r.Cells)
	}
	return nil
}

func (d *draft) checkStore(path string, sw *Switchover, move StoreMove) []Problem {
	store := d.Stores[move.Store]
	switch {
	case store == nil:
		return problem(path, move.Store, "there is no such store")
	case store.Primary != move.Primary:
		return problem(path, move.Primary, "the primary of %s is now %s: declare the switchover again", move.Store,
			store.Primary)
	case !slices.Contains(store.Members, move.Target):
		return problem(path, move.Target, "is no member of %s", move.Store)
	}
	return nil
}

// checkSupersedes: only a disaster takes over, and only from what cannot go back. All that the other holds it takes
// over.
func (d *draft) checkSupersedes(sw *Switchover) []Problem {
	const path = "spec.supersedes"
	if sw.Supersedes == "" {
		return nil
	}
	old := d.Switchovers[sw.Supersedes]
	switch {
	case sw.Mode != Disaster:
		return problem(path, sw.Supersedes, "only a Disaster supersedes")
	case old == nil:
		return problem(path, sw.Supersedes, "there is no such switchover")
	case !old.Phase.Running() || !old.NoReturn:
		return problem(path, sw.Supersedes, "is %s: only what is past its commit and has not ended is superseded",
			old.Phase)
	}
	for _, move := range old.Plan.Moves {
		if !covers(sw.Plan, move) {
			return problem(path, sw.Supersedes, "shards %s of %s would stay locked", span(move.From, move.To),
				move.Unitization)
		}
	}
	for _, move := range old.Plan.Stores {
		if !sw.Plan.has(move.Store) {
			return problem(path, sw.Supersedes, "store %s would stay locked", move.Store)
		}
	}
	return nil
}

// covers says whether a plan moves all shards of another one's move. The moves of a plan are sorted.
func covers(p Plan, move Move) bool {
	next := move.From
	for _, m := range p.Moves {
		if m.Unitization == move.Unitization && m.From <= next && next <= m.To {
			next = m.To + 1
		}
	}
	return next > move.To
}

// conflicts are what a plan shares with other running switchovers (rule 16): two of them in one store would undo each
// other's fence.
func conflicts(s State, p Plan, name, supersedes string) []Problem {
	var problems []Problem
	for other, running := range sorted(s.Switchovers) {
		if other == name || other == supersedes || !running.Phase.Running() {
			continue
		}
		problems = append(problems, shared(p, running)...)
	}
	return problems
}

func shared(p Plan, running *Switchover) []Problem {
	var problems []Problem
	for _, mine := range p.Moves {
		for _, other := range running.Plan.Moves {
			if mine.Unitization != other.Unitization {
				continue
			}
			from, to := max(mine.From, other.From), min(mine.To, other.To)
			switch {
			case from <= to:
				problems = append(problems, problem("spec", mine.Unit,
					"shards %s of %s are in switchover %s, which is running",
					span(from, to), mine.Unitization, running.Name)...)
			case touches(mine, other.Unit), touches(mine, other.ToUnit):
				problems = append(problems, problem("spec", mine.Unit, "the unit is in switchover %s, which is running",
					running.Name)...)
			}
		}
	}
	for _, mine := range p.Stores {
		if running.Plan.has(mine.Store) {
			problems = append(problems, problem("spec", mine.Store, "the store is in switchover %s, which is running",
				running.Name)...)
		}
	}
	return problems
}

func touches(m Move, unit string) bool { return m.Unit == unit || m.ToUnit == unit }
