package switchover

import (
	"cmp"
	"slices"
)

func (d *draft) declareStore(e DeclareStore) []Problem {
	members := slices.Compact(slices.Sorted(slices.Values(e.Members)))
	if len(members) == 0 {
		return problem("spec.members", e.Members, "must not be empty")
	}
	have := d.Stores[e.Store]
	if have == nil {
		if !slices.Contains(members, e.Primary) {
			return problem("spec.primary", e.Primary, "is none of the members")
		}
		d.Stores = put(d.Stores, e.Store, &Store{Members: members, Synchronous: e.Synchronous,
			HoldsPermit: e.HoldsPermit, Primary: e.Primary, Accepting: true})
		if d.Restored != nil { // it may have been declared before, and lost: then its members know
			d.closeRestored(e.Store)
		}
		return nil
	}
	same := slices.Equal(members, have.Members) && e.Synchronous == have.Synchronous &&
		e.HoldsPermit == have.HoldsPermit
	switch {
	case same:
		return nil
	case have.Lock != "":
		return problem("spec.members", members, "switchover %s moves the store: change it when that has ended",
			have.Lock)
	case have.Restored:
		return problem("spec.members", members, "the store was restored, and any member may be the primary: change it "+
			"when it is open again")
	case !slices.Contains(members, have.Primary):
		return problem("spec.members", members, "%s is the primary: move it by a switchover first", have.Primary)
	}
	store := d.editStore(e.Store)
	store.Members, store.Synchronous, store.HoldsPermit = members, e.Synchronous, e.HoldsPermit
	return nil
}

func (d *draft) retireStore(e RetireStore) []Problem {
	if d.Stores[e.Store] == nil {
		return nil
	}
	for name, sw := range sorted(d.Switchovers) {
		moves := sw.Plan.has(e.Store) ||
			slices.ContainsFunc(sw.Plan.Moves, func(m Move) bool { return m.Store == e.Store })
		if moves && !sw.Phase.Ended() {
			return problem("metadata.name", e.Store, "switchover %s moves it: end or delete that first", name)
		}
	}
	d.Stores = without(d.Stores, e.Store)
	if d.recovery(e.Store) != nil {
		d.forget(e.Store)
		d.settle()
	}
	return nil
}

// storeReported takes what a member says of the order in force. What it says of another is late, and changes nothing.
func (d *draft) storeReported(e StoreReported) []Problem {
	store := d.Stores[e.Store]
	if store == nil || store.Order == nil || !slices.Contains(store.Members, e.Member) {
		return nil
	}
	order := store.Order
	if d.Restored != nil && order.UID == d.Restored.UID() {
		d.reportedRestored(e)
		return nil
	}
	sw := d.Switchovers[order.Switchover]
	if sw == nil || sw.UID != order.UID || sw.Phase == PhaseSuperseded {
		return nil
	}
	if !d.broken.has(brokenReportOfAnyStep) &&
		(e.UID != order.UID || e.Report.Step != order.Step || e.Report.Token < order.Token) {
		return nil
	}
	if order.Member != "" && order.Member != e.Member {
		return nil
	}
	if had, ok := sw.Reports[e.Store][e.Member]; ok && had == e.Report {
		return nil
	}
	sw = d.editSwitchover(order.Switchover)
	sw.Reports = put(sw.Reports, e.Store, put(sw.Reports[e.Store], e.Member, e.Report))
	d.advance(sw.Name)
	return nil
}

// order gives every store of a switchover its next order, which is the only one in force from then on.
func (d *draft) order(name string, action Action, token uint64) {
	sw := d.editSwitchover(name)
	last := sw.Reports
	sw.Step++
	sw.Reports = nil
	for _, move := range sw.Plan.Stores {
		store := d.editStore(move.Store)
		next := Order{Action: action, Token: token, Switchover: name, UID: sw.UID, Step: sw.Step}
		switch action {
		case Fence:
		case CatchUp:
			next.Member, next.Position = move.Target, highest(last[move.Store])
		case Promote, Open:
			next.Member = move.Target
		case Unfence:
			next.Member = move.Primary
		}
		store.Order, store.Token = &next, token
	}
}

// fenced says whether there is evidence that a store's old primary takes no more writes, and that what it took will be
// found (rule 17).
func (d *draft) fenced(sw *Switchover, move StoreMove) bool {
	store, reports := d.Stores[move.Store], sw.Reports[move.Store]
	if !d.closed(sw, move) {
		return false
	}
	if store.Synchronous {
		return 2*len(reports) > len(store.Members) || d.broken.has(brokenFenceWithoutMajority)
	}
	_, target := reports[move.Target]
	return target
}

// closed says whether there is evidence of the old primary itself.
func (d *draft) closed(sw *Switchover, move StoreMove) bool {
	store := d.Stores[move.Store]
	reported := d.primaryReported(sw, move)
	ended := sw.Mode == Disaster && store.HoldsPermit && sw.WaitedOut
	confirmed := sw.Mode == Disaster && sw.Facts[move.Store] != 0
	return reported || store.Fenced || ended || confirmed || d.broken.has(brokenFenceWithoutPrimary)
}

// primaryReported says whether the old primary itself reported the fence: every member, where it may be any of them.
func (d *draft) primaryReported(sw *Switchover, move StoreMove) bool {
	store, reports := d.Stores[move.Store], sw.Reports[move.Store]
	if store.Restored && !d.broken.has(brokenPrimaryCertain) {
		return len(silentMembers(store.Members, reports)) == 0
	}
	_, reported := reports[move.Primary]
	return reported
}

// recordFence notes what the fence of each store rests on.
func (d *draft) recordFence(sw *Switchover) {
	for _, move := range sw.Plan.Stores {
		reported := d.primaryReported(sw, move)
		store := d.editStore(move.Store)
		ended := store.HoldsPermit && sw.WaitedOut
		if sw.Facts[move.Store] == BreakGlass && !reported && !store.Fenced && !ended {
			store.TwoWritersPossible = sw.Name
		}
		store.Fenced = true
	}
}

// obeyed says whether the member that the order in force names has reported, in every store.
func (d *draft) obeyed(sw *Switchover) bool {
	for _, move := range sw.Plan.Stores {
		order := d.Stores[move.Store].Order
		report, ok := sw.Reports[move.Store][order.Member]
		if !ok || order.Action == CatchUp && report.Position.Compare(order.Position) < 0 {
			return false
		}
	}
	return true
}

func highest(reports map[string]Report) Position {
	var highest Position
	for _, report := range reports {
		if report.Position.Compare(highest) > 0 {
			highest = report.Position
		}
	}
	return highest
}

// Compare is below zero when p is less than other, and above when it is more.
func (p Position) Compare(other Position) int {
	return cmp.Or(cmp.Compare(p.Epoch, other.Epoch), cmp.Compare(p.Index, other.Index))
}

// has says whether a plan closes a store.
func (p Plan) has(store string) bool {
	return slices.ContainsFunc(p.Stores, func(m StoreMove) bool { return m.Store == store })
}
