package intent

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
	"pentad.dev/pentad/unitization/switchover"
)

func TestAnEntryShowsInAllItsObjects(t *testing.T) {
	e := withUnits(t, Config{})
	e.relay("hz-a")
	e.add(evacuation("out", "hangzhou"))
	e.drive("out", switchover.PhaseApproved)
	base := e.Revision()
	cursors := map[string]*Cursor{}
	for _, kind := range []string{v1alpha1.KindStore, v1alpha1.KindUnitization, v1alpha1.KindSwitchover} {
		c, err := e.Watch(kind, base)
		if err != nil {
			t.Fatal(err)
		}
		cursors[kind] = c
	}
	r := e.must(e.next(e.View().Ownership(), e.switchover("out"))) // freezes two maps
	var revisions []uint64
	for kind, want := range map[string]int{
		v1alpha1.KindStore: 0, v1alpha1.KindUnitization: 2, v1alpha1.KindSwitchover: 1,
	} {
		events, to, err := drain(cursors[kind])
		if err != nil || len(events) != want || to != r.Revision {
			t.Errorf("%s: %d changes up to %d, %v; want %d up to %d", kind, len(events), to, err, want, r.Revision)
		}
		for _, event := range events {
			revisions = append(revisions, event.Revision)
			if event.Prev == nil || event.Object == nil || event.Object.Created != event.Prev.Created {
				t.Errorf("%s %q: event is %+v", kind, event.Name, event)
			}
		}
	}
	slices.Sort(revisions)
	if want := []uint64{base + 1, base + 2, base + 3}; !slices.Equal(revisions, want) || r.Revision != base+3 {
		t.Errorf("revisions are %d, the result's %d, want %d", revisions, r.Revision, want)
	}
	if r.Current == nil || r.Current.Name != "out" || typed(r.Current).(*v1alpha1.Switchover).Status.Phase != "Frozen" {
		t.Errorf("the result has %+v, want the switchover as it is now", r.Current)
	}
	for _, name := range []string{"users", "shared"} {
		if record, _ := e.Feed().Get(model.KindOwnership, name); record == nil || record.At.Seq != r.Revision {
			t.Errorf("record of %q is %+v, want it at the entry's end, %d", name, record, r.Revision)
		}
	}
}

func TestOrdersAreRecords(t *testing.T) {
	e := withUnits(t, Config{})
	e.add(evacuation("out", "hangzhou"))
	if _, ok := e.Feed().Get(model.KindStoreOrder, "orders-rz01"); ok {
		t.Error("a store has an order before the first switchover")
	}
	e.drive("out", switchover.PhaseFencing)
	sw := e.switchover("out")
	want := &modelpb.StoreOrder{Store: "orders-rz01", Action: modelpb.StoreAction_STORE_ACTION_FENCE, Token: sw.Freeze,
		Switchover: "out", SwitchoverUid: sw.UID, Step: uint32(sw.Step)}
	if got := e.order("orders-rz01"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("order is %v, want %v", got, want)
	}
	e.drive("out", switchover.PhaseOpened)
	open := e.order("orders-rz01")
	if open.GetAction() != modelpb.StoreAction_STORE_ACTION_OPEN || open.GetPrimary() != "sh-a" ||
		open.GetMember() != "sh-a" {
		t.Errorf("order is %v, want sh-a to open", open)
	}
	restored := mustNew(Config{})
	if err := restored.Restore(reader(save(e.FSM))); err != nil {
		t.Fatal(err)
	}
	if a, b := e.Feed().Digest(), restored.Feed().Digest(); a != b || restored.Feed().Len() != e.Feed().Len() {
		t.Errorf("after a restore the feed has %d records, before %d", restored.Feed().Len(), e.Feed().Len())
	}
	if _, ok := e.Feed().Get(v1alpha1.KindSwitchover, "out"); ok {
		t.Error("a Switchover is in the feed")
	}
}

func (e *estate) order(store string) *modelpb.StoreOrder {
	e.t.Helper()
	record, ok := e.Feed().Get(model.KindStoreOrder, store)
	if !ok {
		e.t.Fatalf("store %q has no order", store)
	}
	order, err := model.DecodeStoreOrder(store, record.Value)
	if err != nil {
		e.t.Fatal(err)
	}
	return order
}

// TestNobodySeesHalfOfAnEntry reads views and the feed while switchovers go round.
func TestNobodySeesHalfOfAnEntry(t *testing.T) {
	e := withUnits(t, Config{})
	ends := map[uint64]bool{e.Revision(): true}
	cursor := e.Feed().Cursor(e.Feed().Position())
	done := make(chan struct{})
	var readers sync.WaitGroup
	var positions []feed.Position
	readers.Go(func() {
		for {
			if batch, ok := cursor.Next(); ok {
				positions = append(positions, batch.To)
				continue
			}
			select {
			case <-cursor.Wake():
			case <-done:
				return
			}
		}
	})
	readers.Go(func() {
		for {
			view := e.View()
			if err := viewCoherent(view); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for range 10 {
		for _, o := range []*v1alpha1.Switchover{evacuation("out", "hangzhou"), moving("back", v1alpha1.SwitchoverSpec{
			Mode: v1alpha1.SwitchoverPlanned, ReturnToBaseline: true,
		})} {
			ends[e.add(o).Revision] = true
			for e.switchover(o.Name).Phase != switchover.PhaseDone {
				ends[e.must(e.next(e.View().Ownership(), e.switchover(o.Name))).Revision] = true
			}
		}
		for _, name := range []string{"out", "back"} {
			ends[e.must(e.remove(v1alpha1.KindSwitchover, name)).Revision] = true
		}
	}
	close(done)
	readers.Wait()
	if len(positions) == 0 {
		t.Error("the reader of the feed saw nothing")
	}
	for _, p := range positions {
		if !ends[p.Seq] {
			t.Errorf("a reader of the feed stood at %s, between two entries", p)
		}
	}
}

// viewCoherent compares the objects of one picture with its ownership.
func viewCoherent(view View) error {
	s := view.Ownership()
	var errs []error
	view.Range(v1alpha1.KindUnitization, "", func(o *Object) bool {
		u := o.decoded.(*v1alpha1.Unitization)
		if m := s.Maps[u.Name]; m == nil || u.Status.Epoch != fmt.Sprint(m.Epoch) {
			errs = append(errs, fmt.Errorf("unitization %q: status of epoch %s, map %+v", u.Name, u.Status.Epoch, m))
		}
		return true
	})
	view.Range(v1alpha1.KindSwitchover, "", func(o *Object) bool {
		sw := o.decoded.(*v1alpha1.Switchover)
		if have := s.Switchovers[sw.Name]; have == nil || have.Phase.String() != string(sw.Status.Phase) {
			errs = append(errs, fmt.Errorf("switchover %q: status %s, state %+v", sw.Name, sw.Status.Phase, have))
		}
		return true
	})
	return errors.Join(errs...)
}

// TestSessionsAndAcknowledgementsTakeARevision: who waits for the revision of a session sees the session, although no
// object changed (rule 3 of ownership).
func TestSessionsAndAcknowledgementsTakeARevision(t *testing.T) {
	e := withUnits(t, Config{})
	moves := func(what string, c *intentpb.Command, by uint64) {
		t.Helper()
		before, records := e.Revision(), e.Feed().Digest()
		_, _, news := e.Ownership()
		r := e.must(c)
		if r.Revision != before+by || e.Revision() != r.Revision || e.Feed().Position().Seq != r.Revision {
			t.Errorf("%s: revision went from %d to %d, the result's is %d, want +%d", what, before, e.Revision(), r.Revision, by)
		}
		if e.Feed().Digest() != records {
			t.Errorf("%s: records changed", what)
		}
		select {
		case <-news:
			if by == 0 {
				t.Errorf("%s: news without a change", what)
			}
		default:
			if by > 0 {
				t.Errorf("%s: no news", what)
			}
		}
	}
	id, other := string(e.uid()), string(e.uid())
	moves("a session", e.transition(session(id, "hz-a")), 1)
	moves("the same again", e.transition(session(id, "hz-a")), 0)
	moves("another", e.transition(session(other, "hz-b")), 1)
	if state, revision, _ := e.Ownership(); state.Sessions[id] == nil || revision != e.Revision() {
		t.Errorf("the session is not in the ownership at %d", revision)
	}
	e.add(evacuation("out", "hangzhou"))
	e.drive("out", switchover.PhaseFrozen)
	freeze := e.switchover("out").Freeze
	moves("an acknowledgement", e.transition(acks(freeze, id)), 1)
	moves("the same again", e.transition(acks(freeze, id)), 0)
	moves("one of another freeze", e.transition(acks(freeze-1, other)), 0)
	moves("one of nobody", e.transition(acks(freeze, string(e.uid()))), 0)
	moves("closing", e.transition(&intentpb.CloseSession{Id: other}), 1)
	if e.switchover("out").Phase != switchover.PhaseFrozen {
		t.Error("the switchover went on without the closed session, whose permits may hold")
	}
}

// TestReapplyingASpecMovesNothing is GitOps in the middle of a switchover and after it (rule 22 of ownership).
func TestReapplyingASpecMovesNothing(t *testing.T) {
	e := withUnits(t, Config{})
	e.add(evacuation("out", "hangzhou"))
	for phase := switchover.PhasePlanned; phase <= switchover.PhaseDone; phase++ {
		e.drive("out", phase)
		before := e.View().Ownership()
		for kind, name := range map[string]string{
			v1alpha1.KindUnitization: "users", v1alpha1.KindStore: "orders-rz01", v1alpha1.KindSwitchover: "out",
		} {
			status := statusTree(stored[v1alpha1.Object](e, kind, name))
			e.must(e.edit(kind, name, func(o v1alpha1.Object) {
				o.SetAnnotations(map[string]string{"applied": fmt.Sprint(phase)})
			}))
			if after := statusTree(stored[v1alpha1.Object](e, kind, name)); !reflect.DeepEqual(status, after) {
				t.Errorf("in %s: re-applying %s made status\n%v of\n%v", phase, kind, after, status)
			}
		}
		if after := e.View().Ownership(); !reflect.DeepEqual(before, after) {
			t.Errorf("in %s: re-applying specs changed the ownership", phase)
		}
	}
	e.must(e.edit(v1alpha1.KindUnitization, "users", func(o v1alpha1.Object) {
		o.(*v1alpha1.Unitization).Spec.Permit.Duration.Duration = 7 * time.Second
	}))
	if m := e.View().Ownership().Maps["users"]; m.Permit != 7*time.Second || m.Ranges[0].Cells[0] != "rz01.sh-a" {
		t.Errorf("after another permit the map is %+v", m)
	}
	if s := stored[*v1alpha1.Unitization](e, v1alpha1.KindUnitization, "users").Status; s.ObservedGeneration != 2 {
		t.Errorf("observed generation is %d, want 2", s.ObservedGeneration)
	}
}
