package intent

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
	"pentad.dev/pentad/unitization/switchover"
)

// unitsCoherent checks that objects, ownership and feed say the same, with code of its own.
func unitsCoherent(f *FSM, view View) error {
	s := view.Ownership()
	if f.Incarnation() > 0 && s.Epoch < epoch<<31 {
		return fmt.Errorf("epoch %d is below the incarnation's first", s.Epoch)
	}
	counts := map[string]int{}
	var errs []error
	for _, kind := range v1alpha1.Kinds() {
		view.Range(kind, "", func(object *Object) bool {
			counts[kind]++
			switch o := typed(object).(type) {
			case *v1alpha1.Unitization:
				errs = append(errs, sameMapSaid(f, o, s.Maps[o.Name]))
			case *v1alpha1.Store:
				errs = append(errs, sameStoreSaid(f, o, s.Stores[o.Name]))
			case *v1alpha1.Switchover:
				errs = append(errs, sameSwitchoverSaid(o, s.Switchovers[o.Name]))
			}
			return true
		})
	}
	for kind, n := range map[string]int{
		v1alpha1.KindUnitization: len(s.Maps), v1alpha1.KindStore: len(s.Stores), v1alpha1.KindSwitchover: len(s.Switchovers),
	} {
		if counts[kind] != n {
			errs = append(errs, fmt.Errorf("%d objects of kind %s, %d in the ownership", counts[kind], kind, n))
		}
	}
	for r := range f.Feed().All() {
		if r.Kind == model.KindOwnership && s.Maps[r.Key] == nil || r.Kind == model.KindStoreOrder && s.Stores[r.Key] == nil {
			errs = append(errs, fmt.Errorf("record %s/%s of what is gone", r.Kind, r.Key))
		}
	}
	return errors.Join(errs...)
}

func sameMapSaid(f *FSM, o *v1alpha1.Unitization, m *switchover.Map) error {
	r, ok := f.Feed().Get(model.KindOwnership, o.Name)
	if !ok || m == nil {
		return fmt.Errorf("unitization %q: record %v, map %v", o.Name, r, m)
	}
	record, err := model.DecodeOwnership(o.Name, r.Value)
	if err != nil {
		return err
	}
	if o.Status.Epoch != fmt.Sprint(m.Epoch) || record.GetEpoch() != m.Epoch ||
		o.Status.ObservedGeneration != o.Generation ||
		len(o.Status.Ranges) != len(m.Ranges) || len(record.GetRanges()) != len(m.Ranges) ||
		!slices.Equal(o.Status.Wanted, m.Wanted) || !slices.Equal(record.GetWanted(), m.Wanted) {
		return fmt.Errorf("unitization %q: status %+v, record %v, map %+v", o.Name, o.Status, record, m)
	}
	for i, r := range m.Ranges {
		want := fmt.Sprint(r.From, r.To, r.Unit, r.Cells, r.Frozen, fmt.Sprint(r.Since))
		a, b := o.Status.Ranges[i], record.GetRanges()[i]
		status := fmt.Sprint(a.From, a.To, a.Unit, a.Cells, a.State == v1alpha1.RangeFrozen, a.Since)
		fed := fmt.Sprint(b.GetFrom(), b.GetTo(), b.GetUnit(), b.GetCells(),
			b.GetState() == modelpb.RangeState_RANGE_STATE_FROZEN, fmt.Sprint(b.GetSince()))
		if status != want || fed != want || a.Switchover != r.Lock {
			return fmt.Errorf("unitization %q: range %d is %s, status %s (%s), record %s",
				o.Name, i, want, status, a.Switchover, fed)
		}
	}
	return nil
}

func sameStoreSaid(f *FSM, o *v1alpha1.Store, s *switchover.Store) error {
	r, ok := f.Feed().Get(model.KindStoreOrder, o.Name)
	if s == nil || ok != (s.Order != nil) {
		return fmt.Errorf("store %q: record %v, state %+v", o.Name, r, s)
	}
	token := ""
	if s.Token > 0 {
		token = fmt.Sprint(s.Token)
	}
	if o.Status.Primary != s.Primary || o.Status.Token != token || (o.Status.State == v1alpha1.StoreOpen) != s.Accepting ||
		o.Status.Switchover != s.Lock || o.Status.TwoWritersPossible != s.TwoWritersPossible {
		return fmt.Errorf("store %q: status %+v, state %+v", o.Name, o.Status, s)
	}
	if !ok {
		return nil
	}
	order, err := model.DecodeStoreOrder(o.Name, r.Value)
	if err != nil {
		return err
	}
	if order.GetToken() != s.Order.Token || int(order.GetStep()) != s.Order.Step || order.GetMember() != s.Order.Member ||
		order.GetSwitchoverUid() != s.Order.UID || int(order.GetAction()) != int(s.Order.Action) ||
		order.GetPosition().GetIndex() != s.Order.Position.Index {
		return fmt.Errorf("store %q: order %+v, record %v", o.Name, s.Order, order)
	}
	return nil
}

func sameSwitchoverSaid(o *v1alpha1.Switchover, s *switchover.Switchover) error {
	if s == nil || s.UID != string(o.UID) {
		return fmt.Errorf("switchover %q: state %+v", o.Name, s)
	}
	n := len(o.Status.History)
	if string(o.Status.Phase) != s.Phase.String() || o.Status.PlanHash != s.Hash || n == 0 ||
		o.Status.History[n-1].Phase != o.Status.Phase || len(o.Status.Plan) != len(s.Plan.Moves) ||
		len(o.Status.StorePlan) != len(s.Plan.Stores) || o.Status.WaitedOut != s.WaitedOut || o.Status.Message != s.Message {
		return fmt.Errorf("switchover %q: status %+v, state %+v", o.Name, o.Status, s)
	}
	return nil
}

// transitioned checks what an accepted command may do to the ownership, by the rules and not by the code.
func transitioned(c *intentpb.Command, before, after View, changed int, base uint64) error {
	was, now := before.Ownership(), after.Ownership()
	silent := !reflect.DeepEqual(was.Sessions, now.Sessions) || !sameAcks(was, now)
	switch moved := after.Revision() - base; {
	case now.Epoch < was.Epoch:
		return fmt.Errorf("the epoch went from %d to %d", was.Epoch, now.Epoch)
	case changed > 0 && moved != uint64(changed):
		return fmt.Errorf("%d changed objects moved the revision by %d", changed, moved)
	case changed == 0 && silent && moved != 1:
		return fmt.Errorf("a session or an acknowledgement moved the revision by %d: who waits by revision misses it", moved)
	}
	if u := c.GetUpdate(); u != nil {
		for name, m := range was.Maps {
			if n := now.Maps[name]; n == nil || !reflect.DeepEqual(n.Ranges, m.Ranges) || n.Epoch != m.Epoch {
				return fmt.Errorf("an update of %s %q moved the ownership of %q", u.GetKind(), u.GetName(), name)
			}
		}
	}
	if a := c.GetApprove(); a != nil {
		return approved(a, before, time.UnixMilli(c.GetProposedAtUnixMs()))
	}
	return nil
}

// sameAcks says that no switchover heard anything that its object does not show.
func sameAcks(a, b switchover.State) bool {
	for name, s := range b.Switchovers {
		if was := a.Switchovers[name]; was != nil && len(was.Acked) != len(s.Acked) {
			return false
		}
	}
	return true
}

// approved checks that what was approved is what would be planned at that moment, and in time.
func approved(a *intentpb.Approve, before View, at time.Time) error {
	o, _ := before.Get(v1alpha1.KindSwitchover, a.GetSwitchover())
	d := typed(o).(*v1alpha1.Switchover)
	if before.Ownership().Switchovers[d.Name].Phase != switchover.PhasePlanned {
		return nil // repeated
	}
	plan, problems := switchover.MakePlan(World(before), before.Ownership(), request(d))
	if len(problems) > 0 || plan.Hash() != a.GetPlanHash() {
		return fmt.Errorf("switchover %q was approved with plan %s; planned now it has %s, %v",
			d.Name, a.GetPlanHash(), plan.Hash(), problems)
	}
	deadline := d.CreationTimestamp.Add(time.Hour)
	if d.Spec.Deadline != nil {
		deadline = d.Spec.Deadline.Time
	}
	if !at.Before(deadline) {
		return fmt.Errorf("switchover %q with deadline %s was approved at %s", d.Name, deadline, at)
	}
	return nil
}
