package controller

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/unitization/switchover"
)

// hearsIn bounds how long a store whose primary could be told waits for members that have not reported: one of them may
// have been the primary, and then nothing need move.
const hearsIn = 10 * time.Second

// life is a stage of a restored estate: before and after the wait.
type life struct {
	epoch  uint64
	waited bool
}

// seeLife notes when a restored state was first seen in each stage.
func (m *memory) seeLife(s switchover.State, now time.Time) {
	if s.Restored == nil {
		m.lives = nil
		return
	}
	stage := life{s.Restored.Epoch, s.Restored.Waited}
	if _, ok := m.lives[stage]; !ok {
		if m.lives == nil {
			m.lives = map[life]time.Time{}
		}
		m.lives[stage] = now
	}
}

// reconcile carries a restored estate on: it waits, in this term and by this clock, until every permit of before has
// ended, and then decides for the stores of which enough is known (rule 8 of intent).
func (n *round) reconcile() {
	r := n.state.Restored
	if r == nil {
		return
	}
	seen := n.memory.lives[life{r.Epoch, r.Waited}]
	if !r.Waited {
		if !n.at(later(n.memory.waitedOut(seen), seen.Add(drift(r.Wait)))) {
			return
		}
		n.propose(nil, "the permits of before the restore have ended", n.reconciliation(nil))
		return
	}
	var stores []string
	found := n.state.Found()
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if all := found[name]; all || n.at(seen.Add(hearsIn)) {
			stores = append(stores, name)
		}
	}
	if len(stores) > 0 {
		n.propose(nil, "the primary is found of "+strings.Join(stores, ", "), n.reconciliation(stores))
	}
}

func (n *round) reconciliation(stores []string) *intentpb.Command {
	return &intentpb.Command{Operation: &intentpb.Command_Reconcile{
		Reconcile: &intentpb.Reconcile{Term: n.heard.term, Stores: stores},
	}}
}

// news says whether the state machine does not know what a report says yet, and what it is to be told.
func (n *round) news(r report) (*intentpb.StoreReport, bool) {
	store := n.state.Stores[r.store]
	if store == nil || store.Order == nil || store.Order.UID != r.uid || store.Order.Step != r.Step {
		return nil, false
	}
	told := &intentpb.StoreReport{
		Store: r.store, Member: r.member, SwitchoverUid: r.uid, Step: uint32(r.Step), Token: r.Token,
		PositionEpoch: r.Position.Epoch, PositionIndex: r.Position.Index,
	}
	if restored := n.state.Restored; restored != nil && restored.UID() == r.uid {
		known, ok := restored.Recoveries[r.store]
		told.Primary, told.Before = r.Primary, r.Before
		return told, ok && known.Reports[r.member] != r.Report
	}
	o := n.state.Switchovers[store.Order.Switchover]
	plain := r.Report
	plain.Primary, plain.Before = false, 0 // only who does not know the primary asks for that
	return told, o != nil && o.UID == r.uid && o.Phase < switchover.PhaseDone && o.Reports[r.store][r.member] != plain
}

// report passes on what agents said of the orders in force and the state machine does not know yet.
func (n *round) report() {
	batch := &intentpb.StoreReports{}
	for _, r := range n.heard.reports {
		if told, ok := n.news(r); ok {
			batch.Reports = append(batch.Reports, told)
		}
	}
	if len(batch.Reports) > 0 {
		n.propose(nil, fmt.Sprintf("agents report of %d stores", len(batch.Reports)),
			&intentpb.Command{Operation: &intentpb.Command_StoreReports{StoreReports: batch}})
	}
}
