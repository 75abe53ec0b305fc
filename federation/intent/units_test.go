package intent

import (
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/unitization/switchover"
)

// transition makes a typed command of an operation.
func (a *author) transition(operation any) *intentpb.Command {
	c := a.command()
	switch o := operation.(type) {
	case *intentpb.Approve:
		c.Operation = &intentpb.Command_Approve{Approve: o}
	case *intentpb.Abort:
		c.Operation = &intentpb.Command_Abort{Abort: o}
	case *intentpb.Freeze:
		c.Operation = &intentpb.Command_Freeze{Freeze: o}
	case *intentpb.AckFreeze:
		c.Operation = &intentpb.Command_AckFreeze{AckFreeze: o}
	case *intentpb.WaitedOut:
		c.Operation = &intentpb.Command_WaitedOut{WaitedOut: o}
	case *intentpb.StoreReports:
		c.Operation = &intentpb.Command_StoreReports{StoreReports: o}
	case *intentpb.Commit:
		c.Operation = &intentpb.Command_Commit{Commit: o}
	case *intentpb.Converged:
		c.Operation = &intentpb.Command_Converged{Converged: o}
	case *intentpb.OpenSession:
		c.Operation = &intentpb.Command_OpenSession{OpenSession: o}
	case *intentpb.CloseSession:
		c.Operation = &intentpb.Command_CloseSession{CloseSession: o}
	case *intentpb.RemoveSession:
		c.Operation = &intentpb.Command_RemoveSession{RemoveSession: o}
	case *intentpb.SetServer:
		c.Operation = &intentpb.Command_SetServer{SetServer: o}
	case *intentpb.JoinServer:
		c.Operation = &intentpb.Command_JoinServer{JoinServer: o}
	case *intentpb.RemoveServer:
		c.Operation = &intentpb.Command_RemoveServer{RemoveServer: o}
	case *intentpb.CreateToken:
		c.Operation = &intentpb.Command_CreateToken{CreateToken: o}
	case *intentpb.RevokeToken:
		c.Operation = &intentpb.Command_RevokeToken{RevokeToken: o}
	case *intentpb.RaiseLevel:
		c.Operation = &intentpb.Command_RaiseLevel{RaiseLevel: o}
	case *intentpb.SetLiveness:
		c.Operation = &intentpb.Command_SetLiveness{SetLiveness: o}
	case *intentpb.Reconcile:
		c.Operation = &intentpb.Command_Reconcile{Reconcile: o}
	default:
		panic(fmt.Sprintf("%T is no transition", operation))
	}
	return c
}

// next is what brings a switchover one step further, as controller, relays and agents propose it; nil when it has
// ended.
func (a *author) next(s switchover.State, sw *switchover.Switchover) *intentpb.Command {
	switch sw.Phase {
	case switchover.PhasePlanned:
		return a.transition(&intentpb.Approve{Switchover: sw.Name, Uid: sw.UID, PlanHash: sw.Hash, Approver: "ann"})
	case switchover.PhaseApproved:
		return a.transition(&intentpb.Freeze{Switchover: sw.Name, Uid: sw.UID})
	case switchover.PhaseFrozen:
		if sw.Mode == switchover.Disaster {
			return a.transition(&intentpb.WaitedOut{Switchover: sw.Name, Uid: sw.UID, Freeze: sw.Freeze, Term: 1})
		}
		return a.transition(acks(sw.Freeze, s.Concerned(sw.Name)...))
	case switchover.PhaseCaughtUp:
		return a.transition(&intentpb.Commit{Switchover: sw.Name, Uid: sw.UID})
	case switchover.PhaseFencing, switchover.PhaseCatchingUp, switchover.PhaseCommitted:
		return a.transition(obeyed(s, sw))
	case switchover.PhaseOpened:
		if len(sw.Plan.Stores) > 0 && len(sw.Reports) == 0 {
			return a.transition(obeyed(s, sw))
		}
		return a.transition(&intentpb.Converged{Switchover: sw.Name, Uid: sw.UID, Message: "all followed"})
	}
	return nil
}

func acks(freeze uint64, sessions ...string) *intentpb.AckFreeze {
	batch := &intentpb.AckFreeze{}
	for _, id := range sessions {
		batch.Acks = append(batch.Acks, &intentpb.FreezeAck{Session: id, Freeze: freeze})
	}
	return batch
}

// obeyed reports for every member that has an order of a switchover.
func obeyed(s switchover.State, sw *switchover.Switchover) *intentpb.StoreReports {
	batch := &intentpb.StoreReports{}
	for _, move := range sw.Plan.Stores {
		order := s.Stores[move.Store].Order
		for _, member := range s.Stores[move.Store].Members {
			if order.Member == "" || order.Member == member {
				batch.Reports = append(batch.Reports, &intentpb.StoreReport{
					Store: move.Store, Member: member, SwitchoverUid: order.UID, Step: uint32(order.Step), Token: order.Token,
					PositionEpoch: order.Position.Epoch, PositionIndex: order.Position.Index,
				})
			}
		}
	}
	return batch
}

// relay opens a session of the relay in a center's cluster, and gives its id.
func (e *estate) relay(center string) string {
	e.t.Helper()
	id := string(e.uid())
	e.must(e.transition(session(id, center)))
	return id
}

func session(id, center string) *intentpb.OpenSession {
	return &intentpb.OpenSession{Session: &intentpb.Session{
		Id: id, Holder: intentpb.Holder_HOLDER_RELAY, Name: "vm-" + center, Cluster: "vm-" + center, Center: center,
	}}
}

// switchover is a switchover as the machine has it.
func (e *estate) switchover(name string) *switchover.Switchover {
	e.t.Helper()
	s := e.View().Ownership().Switchovers[name]
	if s == nil {
		e.t.Fatalf("switchover %q is not there", name)
	}
	return s
}

// drive brings a switchover to a phase, or past it when the machine goes on by itself.
func (e *estate) drive(name string, to switchover.Phase) {
	e.t.Helper()
	for range 20 {
		sw := e.switchover(name)
		if sw.Phase >= to {
			return
		}
		e.must(e.next(e.View().Ownership(), sw))
	}
	e.t.Fatalf("switchover %q stays in %s: %s", name, e.switchover(name).Phase, e.View().Ownership().Waiting(name))
}

func stored[T v1alpha1.Object](e *estate, kind, name string) T {
	e.t.Helper()
	o, ok := e.View().Get(kind, name)
	if !ok {
		e.t.Fatalf("%s %q is not there", kind, name)
	}
	return typed(o).(T)
}

func (e *estate) history(name string) []v1alpha1.SwitchoverPhase {
	var all []v1alpha1.SwitchoverPhase
	for _, h := range stored[*v1alpha1.Switchover](e, v1alpha1.KindSwitchover, name).Status.History {
		all = append(all, h.Phase)
	}
	return all
}

func TestAMapIsMadeFromTheBaseline(t *testing.T) {
	e := withUnits(t, Config{})
	got := stored[*v1alpha1.Unitization](e, v1alpha1.KindUnitization, "users").Status
	state := e.View().Ownership()
	want := []v1alpha1.OwnedRange{
		{ShardRange: v1alpha1.ShardRange{From: 0, To: 4}, Unit: "rz01", Cells: []string{"rz01.hz-a", "rz01.hz-b"},
			State: v1alpha1.RangeOpen, Since: fmt.Sprint(uint64(epoch<<31 + 1))},
		{ShardRange: v1alpha1.ShardRange{From: 5, To: 9}, Unit: "rz02", Cells: []string{"rz02.sh-a", "rz02.sh-b"},
			State: v1alpha1.RangeOpen, Since: fmt.Sprint(uint64(epoch<<31 + 1))},
	}
	if fmt.Sprint(got.Ranges) != fmt.Sprint(want) || got.Epoch != want[0].Since || got.ObservedGeneration != 1 {
		t.Errorf("status is %+v, want ranges %+v", got, want)
	}
	if m := state.Maps["users"]; m.Permit != 5*time.Second || m.Keep {
		t.Errorf("map is %+v, want the default permit", m)
	}
	if s := stored[*v1alpha1.Store](e, v1alpha1.KindStore, "orders-rz02").Status; s.Primary != "sh-a" ||
		s.State != v1alpha1.StoreOpen || s.Token != "" || s.ObservedGeneration != 1 {
		t.Errorf("store status is %+v", s)
	}
	if state.Epoch != epoch<<31+2 {
		t.Errorf("after two maps the epoch is %d, want %d", state.Epoch, uint64(epoch<<31+2))
	}
}

func TestASwitchoverFromPlanToDone(t *testing.T) {
	e := withUnits(t, Config{})
	a, b := e.relay("hz-a"), e.relay("hz-b")
	e.relay("sh-a")
	e.add(evacuation("out", "hangzhou"))
	planned := stored[*v1alpha1.Switchover](e, v1alpha1.KindSwitchover, "out").Status
	if planned.Phase != v1alpha1.PhasePlanned || planned.PlanHash == "" || len(planned.Plan) != 2 ||
		len(planned.StorePlan) != 1 {
		t.Fatalf("status is %+v", planned)
	}
	e.drive("out", switchover.PhaseFrozen)
	got := e.View().Ownership().Concerned("out")
	if len(got) != 2 || !slices.Contains(got, a) || !slices.Contains(got, b) {
		t.Errorf("concerned are %q, want %q and %q", got, a, b)
	}
	frozen := stored[*v1alpha1.Unitization](e, v1alpha1.KindUnitization, "users").Status.Ranges[0]
	if frozen.State != v1alpha1.RangeFrozen || frozen.Switchover != "out" || frozen.Unit != "rz01" {
		t.Errorf("range is %+v", frozen)
	}
	e.drive("out", switchover.PhaseDone)
	open := stored[*v1alpha1.Unitization](e, v1alpha1.KindUnitization, "users").Status.Ranges[0]
	if open.State != v1alpha1.RangeOpen || open.Switchover != "" || !slices.Equal(open.Cells, []string{"rz01.sh-a"}) {
		t.Errorf("range is %+v", open)
	}
	if s := stored[*v1alpha1.Store](e, v1alpha1.KindStore, "orders-rz01").Status; s.Primary != "sh-a" ||
		s.State != v1alpha1.StoreOpen || s.Switchover != "" || s.Token != open.Since {
		t.Errorf("store is %+v, want the token %s of the range", s, open.Since)
	}
	want := []v1alpha1.SwitchoverPhase{v1alpha1.PhasePlanned, v1alpha1.PhaseApproved, v1alpha1.PhaseFrozen,
		v1alpha1.PhaseFencing, v1alpha1.PhaseCatchingUp, v1alpha1.PhaseCaughtUp, v1alpha1.PhaseCommitted,
		v1alpha1.PhasePromoted, v1alpha1.PhaseOpened, v1alpha1.PhaseDone}
	if got := e.history("out"); !slices.Equal(got, want) {
		t.Errorf("history is %q, want %q", got, want)
	}
	done := stored[*v1alpha1.Switchover](e, v1alpha1.KindSwitchover, "out").Status
	if done.ApprovedBy != "ann" || done.FreezeEpoch == "" || done.CommitEpoch == "" || done.Message != "all followed" ||
		!done.History[0].Time.Equal(&metav1.MicroTime{Time: time.Unix(epoch, 0)}) {
		t.Errorf("status is %+v", done)
	}
	e.must(e.remove(v1alpha1.KindSwitchover, "out"))
	back := moving("back", v1alpha1.SwitchoverSpec{Mode: v1alpha1.SwitchoverPlanned, ReturnToBaseline: true})
	e.add(back)
	e.drive("back", switchover.PhaseDone)
	if r := stored[*v1alpha1.Unitization](e, v1alpha1.KindUnitization, "users").Status.Ranges[0]; len(r.Cells) != 2 {
		t.Errorf("back at the baseline the range is %+v", r)
	}
}
