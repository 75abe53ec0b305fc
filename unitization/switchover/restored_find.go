package switchover

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Found says which stores of a restored state can be decided, and whether all members of each have reported: a leader
// gives those that have not a while.
func (s State) Found() (stores map[string]bool) {
	if s.Restored == nil {
		return nil
	}
	stores = map[string]bool{}
	for name, r := range s.Restored.Recoveries {
		if r.Phase != PhaseFencing {
			continue
		}
		if target, _ := (&draft{State: s}).found(name); target != "" {
			stores[name] = len(r.Reports) == len(s.Stores[name].Members)
		}
	}
	return stores
}

// found is the member that takes a store's writes from now on, or why nobody can tell.
//
// Every member closes, by its own word, or, where it holds a permit, by the end of that. Of a synchronous store whose
// members hold permits a majority finds everything that was acknowledged; of every other one all members must be heard,
// since whoever is silent may have been the primary. Then the highest position decides, as in every switchover: the
// token that a member keeps says only what it was told last, and a fence reaches members that have missed writes. Among
// those that hold it, the one that was the primary last comes first, then the one that the state names.
func (d *draft) found(name string) (target, why string) {
	store, r := d.Stores[name], d.recovery(name)
	silent := silentMembers(store.Members, r.Reports)
	majority := store.Synchronous && store.HoldsPermit || d.broken.has(brokenFoundByMajority)
	switch {
	case d.broken.has(brokenFoundUnfenced):
		return store.Primary, ""
	case len(silent) == 0:
	case !majority:
		return "", fmt.Sprintf("it waits until %s reported that it is closed: it may have been the primary",
			list(silent))
	case 2*len(r.Reports) <= len(store.Members):
		return "", fmt.Sprintf("it waits until a majority of the members reported that they are closed; %s did not",
			list(silent))
	}
	best := highest(r.Reports)
	holds := func(member string) bool {
		report, ok := r.Reports[member]
		return ok && report.Position.Compare(best) == 0
	}
	last := lastPrimary(r.Reports)
	switch {
	case d.broken.has(brokenBackupBelieved):
		return store.Primary, ""
	case d.broken.has(brokenTokenBelieved):
		return slices.MaxFunc(slices.Sorted(maps.Keys(r.Reports)), func(a, b string) int {
			return cmp.Or(cmp.Compare(r.Reports[a].Before, r.Reports[b].Before),
				r.Reports[a].Position.Compare(r.Reports[b].Position))
		}), ""
	case last != "" && !holds(last):
		return "", fmt.Sprintf("%s was the primary last, and other members hold more than it does: their data has "+
			"parted", last)
	case last != "":
		return last, ""
	case holds(store.Primary):
		return store.Primary, ""
	}
	return store.Members[slices.IndexFunc(store.Members, holds)], ""
}

// lastPrimary is the member that was the primary before it was closed, under the highest token; empty: none says so.
func lastPrimary(reports map[string]Report) string {
	last := ""
	for member, report := range sorted(reports) {
		if !report.Primary {
			continue
		}
		have := reports[last]
		if last == "" || report.Before > have.Before ||
			report.Before == have.Before && report.Position.Compare(have.Position) > 0 {
			last = member
		}
	}
	return last
}

// Reconciling says in sentences what a restored state waits for, and what an operator can do; none when there is
// nothing to reconcile.
func (s State) Reconciling() []string {
	if s.Restored == nil {
		return nil
	}
	if !s.Restored.Waited {
		return []string{fmt.Sprintf("The estate was restored from an older state: no unit takes writes until the leader "+
			"has waited %s, the longest that a permit of before may hold.", s.Restored.Wait)}
	}
	var said []string
	d := &draft{State: s}
	for name, r := range sorted(s.Restored.Recoveries) {
		said = append(said, fmt.Sprintf("Store %s: %s", name, d.recovering(name, r)))
	}
	for name, m := range sorted(s.Maps) {
		var shards []string
		for _, r := range m.Ranges {
			if r.restored() {
				shards = append(shards, fmt.Sprintf("%s (unit %s, cells %s)", span(r.From, r.To), r.Unit, list(r.Cells)))
			}
		}
		if len(shards) > 0 {
			said = append(said, fmt.Sprintf("Unitization %s: shards %s refuse writes as they were restored. Those of a unit "+
				"with a store follow it; of one without, nobody can tell whether they were moved since the backup: say where "+
				"they are to be by a switchover in mode Disaster, also when that is where they are.",
				name, strings.Join(shards, "; ")))
		}
	}
	return said
}

func (d *draft) recovering(name string, r *Recovery) string {
	const byHand = " If that cannot be: say in a switchover in mode Disaster where the primary is to be, and in its " +
		"spec.oldPrimaries that every other member is off."
	switch r.Phase {
	case PhaseCommitted:
		return fmt.Sprintf("%s holds everything, and is to become the primary; it waits for its report.",
			r.Plan.Stores[0].Target)
	case PhaseOpened:
		return fmt.Sprintf("it is open; it waits until %s reported that.", r.Plan.Stores[0].Target)
	}
	target, why := d.found(name)
	if target != "" {
		return fmt.Sprintf("%s holds everything; the leader decides next.", target)
	}
	return why + "." + byHand
}
