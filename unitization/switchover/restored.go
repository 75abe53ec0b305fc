package switchover

import (
	"fmt"
	"slices"
	"time"
)

// Restored is what an estate that began a new life from an older state has still to find out: its state says who took
// writes then, not who did last. nil in every other estate.
type Restored struct {
	// Epoch is the first of the new life, and the freeze of everything that was restored.
	Epoch uint64
	// Wait is the longest that a permit of before may hold. The maps of today need not know it.
	Wait time.Duration
	// Waited says that every permit of before has ended.
	Waited bool
	// Recoveries are the stores that are not open again, by name.
	Recoveries map[string]*Recovery
}

// Recovery is how far a store has come.
type Recovery struct {
	// Phase is PhaseFrozen until the wait is over, then PhaseFencing; PhaseCommitted when the primary is found, and
	// PhaseOpened when it may take writes.
	Phase Phase
	// Step is that of the last order.
	Step int
	// Reports are what the members said of the order in force.
	Reports map[string]Report
	// Plan is what becomes of the store and of the ranges behind it. Empty before PhaseCommitted.
	Plan Plan
}

// restoredName is the name in orders that no switchover gave.
const restoredName = "restored"

// UID is what the orders of this reconciliation bear: no other life has the same.
func (r *Restored) UID() string { return fmt.Sprintf("%s-%d", restoredName, r.Epoch) }

// recovery is a store's, if the state is being reconciled and the store is not done yet.
func (s State) recovery(store string) *Recovery {
	if s.Restored == nil {
		return nil
	}
	return s.Restored.Recoveries[store]
}

// restored says whether a range is frozen because nobody knows whether its owner still is its owner.
func (r *Range) restored() bool { return r.Frozen && r.Lock == "" }

// reincarnate begins a new life: nothing is open, nobody has a session, nothing runs. What is declared stays.
func (d *draft) reincarnate(e Reincarnate) []Problem {
	if e.Epoch <= d.Epoch {
		return problem("epoch", e.Epoch, "must be above %d, that of the state", d.Epoch)
	}
	d.Epoch = e.Epoch
	if !d.broken.has(brokenSessionsKept) {
		d.Sessions = nil
	}
	for name, sw := range sorted(d.Switchovers) {
		if !sw.Phase.Running() {
			continue
		}
		phase := PhaseAborted
		if sw.NoReturn {
			phase = PhaseSuperseded
		}
		d.end(name, phase, fmt.Sprintf("ended in phase %s: the estate was restored from an older state", sw.Phase))
	}
	d.Restored = &Restored{Epoch: e.Epoch, Wait: e.Wait}
	if d.broken.has(brokenRestoredOpen) {
		d.openRestored()
		return nil
	}
	for name := range d.Maps {
		m := d.editMap(name)
		m.Epoch = e.Epoch
		m.Ranges = change(m.Ranges, 0, m.Shards-1, func(r *Range) { r.Frozen, r.Since, r.Left = true, e.Epoch, nil })
	}
	for name := range d.Stores {
		d.closeRestored(name)
	}
	return nil
}

// closeRestored has a store wait for its reconciliation.
func (d *draft) closeRestored(name string) {
	store := d.editStore(name)
	store.Accepting, store.Fenced, store.Restored, store.Order = false, false, true, nil
	d.editRestored().Recoveries = put(d.Restored.Recoveries, name, &Recovery{Phase: PhaseFrozen})
	if d.Restored.Waited {
		d.fenceRestored(name)
	}
}

func (d *draft) editRestored() *Restored {
	r := *d.Restored
	d.Restored = &r
	return &r
}

func (d *draft) editRecovery(name string) *Recovery {
	r := *d.Restored.Recoveries[name]
	d.editRestored().Recoveries = put(d.Restored.Recoveries, name, &r)
	return &r
}

// reconcile goes on: when the wait is over, every store is fenced at every member, under a token that is above all of
// before. Later it decides for those stores that are named and have reported enough.
func (d *draft) reconcile(e Reconcile) []Problem {
	if d.Restored == nil {
		return nil
	}
	if !d.Restored.Waited {
		d.editRestored().Waited = true
		for name := range sorted(d.Restored.Recoveries) {
			d.fenceRestored(name)
		}
	}
	for _, name := range e.Stores {
		r := d.recovery(name)
		if r == nil || r.Phase != PhaseFencing {
			continue
		}
		if target, _ := d.found(name); target != "" {
			d.follow(e.World, name, target)
		}
	}
	d.settle()
	return nil
}

func (d *draft) fenceRestored(name string) {
	d.editRecovery(name).Phase = PhaseFencing
	d.orderRestored(name, Fence, "", d.Restored.Epoch)
}

func (d *draft) orderRestored(name string, action Action, member string, token uint64) {
	r := d.editRecovery(name)
	r.Step++
	r.Reports = nil
	store := d.editStore(name)
	store.Token = token
	store.Order = &Order{Action: action, Member: member, Token: token, Switchover: restoredName, UID: d.Restored.UID(),
		Step: r.Step}
}

// follow gives a store to the primary that was found, and the ranges behind it to a cell beside that: the map follows
// the store.
func (d *draft) follow(w World, name, target string) {
	plan := Plan{Stores: []StoreMove{{Store: name, Primary: d.Stores[name].Primary, Target: target}}}
	for unitization, m := range sorted(d.Maps) {
		for _, r := range m.Ranges {
			if unit, _ := w.unit(unitization, r.Unit); r.restored() && unit.Store == name {
				plan.Moves = append(plan.Moves, Move{Unitization: unitization, From: r.From, To: r.To, Unit: r.Unit,
					ToUnit: r.Unit, Cells: r.Cells, ToCells: w.beside(unit, target, r.Cells), Store: name})
			}
		}
	}
	epoch := d.nextEpoch()
	d.changeMoves(plan, true, func(m Move, r *Range) { r.Cells, r.Since = m.ToCells, epoch })
	d.editStore(name).Fenced = true
	r := d.editRecovery(name)
	r.Phase, r.Plan = PhaseCommitted, plan
	d.orderRestored(name, Promote, target, epoch)
}

// reportedRestored takes what a member says of the order in force of a store that is being reconciled.
func (d *draft) reportedRestored(e StoreReported) {
	r, order := d.recovery(e.Store), d.Stores[e.Store].Order
	late := e.UID != order.UID || e.Report.Step != order.Step || e.Report.Token < order.Token
	if r == nil || late && !d.broken.has(brokenReportOfAnyStep) || order.Member != "" && order.Member != e.Member {
		return
	}
	if had, ok := r.Reports[e.Member]; ok && had == e.Report {
		return
	}
	r = d.editRecovery(e.Store)
	r.Reports = put(r.Reports, e.Member, e.Report)
	switch r.Phase {
	case PhaseCommitted:
		d.reopen(e.Store)
	case PhaseOpened:
		d.forget(e.Store)
	}
	d.settle()
}

// reopen is the entry that ends the freeze of a store and of what is behind it.
func (d *draft) reopen(name string) {
	r := d.editRecovery(name)
	r.Phase = PhaseOpened
	epoch := d.nextEpoch()
	d.changeMoves(r.Plan, true, func(m Move, r *Range) {
		if r.restored() {
			r.Frozen, r.Since = false, epoch
		}
	})
	target := r.Plan.Stores[0].Target
	d.opens(name, target)
	d.orderRestored(name, Open, target, epoch)
}

// forget ends the reconciliation of a store.
func (d *draft) forget(name string) {
	d.editRestored().Recoveries = without(d.Restored.Recoveries, name)
}

// settle ends the reconciliation when nothing waits for it any more.
func (d *draft) settle() {
	if d.Restored == nil || !d.Restored.Waited || len(d.Restored.Recoveries) > 0 {
		return
	}
	for _, m := range d.Maps {
		if slices.ContainsFunc(m.Ranges, func(r Range) bool { return r.restored() }) {
			return
		}
	}
	d.Restored = nil
}

// openRestored opens what was closed when the older state was written, where that is planted.
func (d *draft) openRestored() {
	for name := range d.Maps {
		m := d.editMap(name)
		m.Epoch = d.Epoch
		m.Ranges = change(m.Ranges, 0, m.Shards-1, func(r *Range) { r.Frozen, r.Since, r.Left = false, d.Epoch, nil })
	}
	for name, store := range sorted(d.Stores) {
		d.opens(name, store.Primary)
		d.editStore(name).Token, d.editStore(name).Order = d.Epoch, &Order{Action: Open, Member: store.Primary,
			Token: d.Epoch, Switchover: restoredName, UID: d.Restored.UID(), Step: 1}
	}
	d.Restored = nil
}
