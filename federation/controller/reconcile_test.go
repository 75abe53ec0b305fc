package controller

import (
	"testing"
	"time"

	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/unitization/switchover"
)

// restoredDesk is a leader's of an estate that has just been restored: users has shard 0, its data in db.
func restoredDesk(t *testing.T, wait time.Duration) *desk {
	t.Helper()
	d := newDesk(switchover.PhaseDone)
	d.state = switchover.State{}
	d.heard.sessions = nil
	d.apply(t, switchover.DeclareStore{Store: "db", Members: []string{"a", "b", "c"}, Primary: "a", Synchronous: true, HoldsPermit: true},
		switchover.DeclareMap{Unitization: "users", Shards: 1, Permit: permit, Baseline: []switchover.Range{{Unit: "x", Cells: []string{"x.a"}}}},
		switchover.Reincarnate{Epoch: 100, Wait: wait})
	return d
}

func (d *desk) apply(t *testing.T, events ...switchover.Event) {
	t.Helper()
	for _, e := range events {
		next, problems := d.state.Apply(e)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		d.state = next
	}
}

// reported are reports of the order in force.
func (d *desk) reported(members ...string) {
	d.heard.reports = nil
	order := d.state.Stores["db"].Order
	for _, m := range members {
		d.heard.reports = append(d.heard.reports, report{store: "db", member: m, uid: order.UID, Report: switchover.Report{
			Step: order.Step, Token: order.Token, Position: switchover.Position{Epoch: 4, Index: 2}, Primary: m == "b", Before: 9,
		}})
	}
}

func TestTheWaitAfterARestore(t *testing.T) {
	for name, c := range map[string]struct{ wait, want time.Duration }{
		"what may have been":        {time.Minute, drift(time.Minute)},
		"what is declared, if more": {time.Second, drift(permit)},
	} {
		t.Run(name, func(t *testing.T) {
			d := restoredDesk(t, c.wait)
			if names, again := d.look(1); names != "" || again != c.want {
				t.Fatalf("%q, again in %s, want %s", names, again, c.want)
			}
			d.now = d.now.Add(c.want - 1)
			if names, _ := d.look(1); names != "" {
				t.Fatalf("%q too early", names)
			}
			d.memory = newMemory() // another leader waits anew
			if names, again := d.look(1); names != "" || again != c.want {
				t.Fatalf("another leader: %q, again in %s", names, again)
			}
			d.now = d.now.Add(c.want)
			if names, _ := d.look(1); names != "Reconcile" {
				t.Errorf("%q, want Reconcile", names)
			}
		})
	}
}

// TestAStoreWaitsForMembersThatMayHaveBeenThePrimary: a majority is enough to decide, and all are given a while.
func TestAStoreWaitsForMembersThatMayHaveBeenThePrimary(t *testing.T) {
	d := restoredDesk(t, time.Second)
	d.apply(t, switchover.Reconcile{})
	d.reported("a", "c")
	if names, _ := d.look(1); names != "StoreReports" {
		t.Fatalf("%q, want StoreReports", names)
	}
	d.take(t)
	if names, again := d.look(1); names != "" || again != hearsIn {
		t.Fatalf("%q, again in %s", names, again)
	}
	slow := *d
	slow.now = d.now.Add(hearsIn)
	if names, _ := slow.look(1); names != "Reconcile" {
		t.Errorf("%q after a while", names)
	}
	d.reported("a", "b", "c")
	d.look(1)
	d.take(t)
	if names, _ := d.look(1); names != "Reconcile" {
		t.Fatalf("%q when all are heard", names)
	}
	d.apply(t, switchover.Reconcile{Stores: []string{"db"}})
	if order := d.state.Stores["db"].Order; order.Action != switchover.Promote || order.Member != "b" {
		t.Errorf("%+v: the one that was the primary last", order)
	}
	for range 3 { // promoted, opened, done
		if names, _ := d.look(1); names != "" {
			t.Errorf("%q without news", names)
		}
		if d.state.Restored == nil {
			break
		}
		d.reported("b")
		d.look(1)
		d.take(t)
	}
	if s := d.state.Stores["db"]; !s.Accepting || d.state.Restored == nil { // nobody said where users is: no World here
		t.Errorf("%+v, %+v", s, d.state.Restored)
	}
}

// take gives the machine the reports that a round passes on.
func (d *desk) take(t *testing.T) {
	t.Helper()
	proposals, _ := next(d.state, d.memory, d.heard, d.now)
	for _, p := range proposals {
		batch, ok := p.command.GetOperation().(*intentpb.Command_StoreReports)
		if !ok {
			continue
		}
		for _, r := range batch.StoreReports.GetReports() {
			d.apply(t, switchover.StoreReported{Store: r.GetStore(), Member: r.GetMember(), UID: r.GetSwitchoverUid(),
				Report: switchover.Report{Step: int(r.GetStep()), Token: r.GetToken(), Primary: r.GetPrimary(), Before: r.GetBefore(),
					Position: switchover.Position{Epoch: r.GetPositionEpoch(), Index: r.GetPositionIndex()}}})
		}
	}
	d.heard.reports = nil
}

// An ordinary switchover is told nothing of primaries: servers of the first level would not know the fields.
func TestOnlyRestoredStoresAreToldOfPrimaries(t *testing.T) {
	d := newDesk(switchover.PhaseOpened)
	d.heard.reports = []report{{store: "db", member: "b", uid: "u", Report: switchover.Report{Step: 4, Token: 9, Primary: true, Before: 7}}}
	d.memory.see(d.state, 1, d.now)
	proposals, _ := next(d.state, d.memory, d.heard, d.now)
	var told *intentpb.StoreReport
	for _, p := range proposals {
		if batch, ok := p.command.GetOperation().(*intentpb.Command_StoreReports); ok {
			told = batch.StoreReports.GetReports()[0]
		}
	}
	if told == nil || told.GetPrimary() || told.GetBefore() != 0 {
		t.Fatalf("%v", told)
	}
	d.state.Switchovers["s"].Reports = map[string]map[string]switchover.Report{"db": {"b": {Step: 4, Token: 9}}}
	if names, _ := d.look(1); names == "StoreReports" {
		t.Error("what is known is told again and again")
	}
}
