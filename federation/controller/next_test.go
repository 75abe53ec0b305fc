package controller

import (
	"testing"
	"time"

	"pentad.dev/pentad/unitization/switchover"
)

func TestAFreezeWaitsForTheRelaysWithinReach(t *testing.T) {
	d := newDesk(switchover.PhaseApproved).old()
	d.expect(t, 8, "") // both are at 7
	d.heard.sessions["r1"] = progress{rendered: 8}
	d.expect(t, 8, "")
	d.heard.sessions["r2"] = progress{rendered: 9}
	d.expect(t, 8, "Freeze")

	d = newDesk(switchover.PhaseApproved).old()
	d.expect(t, 8, "")
	d.heard.sessions["r1"] = progress{rendered: 8}
	d.heard.sessions["r2"] = progress{age: reachable, rendered: 7} // out of reach
	d.expect(t, 8, "Freeze")

	d = newDesk(switchover.PhaseApproved).old()
	d.expect(t, 8, "")
	d.pass(preparesIn)
	d.expect(t, 8, "Freeze") // slow ones are not waited for

	d = newDesk(switchover.PhaseApproved).old()
	d.heard.sessions = nil
	d.pass(preparesIn)
	d.expect(t, 8, "") // nobody was asked yet
	d.pass(settlesIn + drift(permit))
	d.expect(t, 8, "Freeze")
}

func TestAFreezeTakesNoWordOfBeforeTheApproval(t *testing.T) {
	d := newDesk(switchover.PhaseApproved).old()
	delete(d.heard.sessions, "r1") // it came after the servers were asked last
	d.memory.see(d.state, 8, d.now)
	d.heard.asked, d.heard.wall = d.now.Add(-time.Millisecond), d.now
	d.heard.sessions["r2"] = progress{rendered: 9}
	if proposals, _ := next(d.state, d.memory, d.heard, d.now); len(proposals) > 0 {
		t.Errorf("proposes %v", proposals)
	}
}

func TestADisasterFreezesAtOnceAndCommitsWhenRelaysArePrepared(t *testing.T) {
	d := newDesk(switchover.PhaseApproved).disaster()
	d.expect(t, 8, "Freeze")
	d.state.Switchovers["s"].Phase = switchover.PhaseCaughtUp
	d.expect(t, 12, "")                            // r2 is at 7, and so is r1, which is left
	d.heard.sessions["r2"] = progress{rendered: 8} // that of the approval is enough
	d.expect(t, 13, "Commit")
	d.heard.sessions["r2"] = progress{rendered: 7}
	d.expect(t, 13, "")
	d.pass(preparesIn)
	d.expect(t, 13, "Commit")
	d.memory = newMemory() // a new leader counts from what it sees first
	d.expect(t, 13, "")
}

func TestWhatIsPlannedFreezesWhenAllWhoMustAcknowledgeCan(t *testing.T) {
	d := newDesk(switchover.PhaseApproved)
	served := map[string]progress{"r1": {rendered: 9}, "r2": {rendered: 9}}
	d.heard.sessions = served
	if got, again := d.look(8); got != "" || again != drift(permit) {
		t.Errorf("a relay that may have started just now: proposes %q and looks again after %s", got, again)
	}
	d.pass(drift(permit))
	d.expect(t, 8, "Freeze")

	d = newDesk(switchover.PhaseApproved).old()
	d.heard.sessions = map[string]progress{"r1": {age: time.Second, rendered: 9}, "r2": {age: reachable, rendered: 9}}
	d.expect(t, 8, "") // r1 has not been heard of since the approval
	d.pass(reachable)
	d.silent("r1", reachable)
	d.expect(t, 8, "CloseSession") // of r1; nobody waits for r2
	d.state.Sessions["r1"] = &switchover.Session{ID: "r1", Holder: switchover.Relay, Name: "vm-a/one", Center: "a", Closed: true}
	d.expect(t, 9, "")
	d.pass(drift(permit))
	d.expect(t, 9, "RemoveSession")
	delete(d.state.Sessions, "r1")
	d.expect(t, 9, "Freeze")

	d = newDesk(switchover.PhaseApproved) // one that comes and goes holds nothing up for ever
	d.heard.sessions = served
	d.expect(t, 8, "")
	d.pass(settlesIn + drift(permit))
	d.state.Sessions["r3"] = &switchover.Session{ID: "r3", Holder: switchover.Relay, Name: "vm-a/two", Center: "a"}
	served["r3"] = progress{rendered: 9}
	d.expect(t, 8, "Freeze")
}

func TestWhatIsPlannedClosesSessionsThatAreGoneAndNeverWaitsPermitsOut(t *testing.T) {
	d := newDesk(switchover.PhaseFrozen)
	d.expect(t, 8, "")
	d.pass(time.Hour)
	d.expect(t, 8, "") // it asks, but does not acknowledge: a write is in flight
	d.silent("r1", reachable-time.Millisecond)
	d.expect(t, 8, "")
	d.silent("r1", reachable)
	d.expect(t, 8, "CloseSession")
	d.state.Switchovers["s"].Acked = map[string]bool{"r1": true}
	d.expect(t, 8, "")
	d.state.Switchovers["s"].Acked = nil
	delete(d.heard.sessions, "r1") // its server has forgotten it
	d.expect(t, 8, "CloseSession")
}

// silent has nobody hear of a session for so long.
func (d *desk) silent(id string, long time.Duration) {
	d.memory.last[id] = d.now.Add(-long)
	d.heard.sessions[id] = progress{age: long, rendered: 7}
}

func TestTheWaitIsForTInTheOwnTermWithDrift(t *testing.T) {
	d := newDesk(switchover.PhaseFrozen).disaster()
	d.expect(t, 8, "")
	d.pass(drift(permit) - time.Millisecond)
	if got, again := d.look(8); got != "" || again != time.Millisecond {
		t.Errorf("proposes %q and looks again after %s", got, again)
	}
	d.pass(time.Millisecond)
	d.expect(t, 8, "WaitedOut")

	// A new leader has seen nothing: it waits in full again (rule 5).
	d.memory = newMemory()
	d.expect(t, 8, "")
	d.pass(permit)
	d.expect(t, 8, "")
	d.pass(permit / 100)
	d.expect(t, 8, "WaitedOut")
	d.state.Switchovers["s"].WaitedOut = true
	d.expect(t, 8, "")
}

func TestAShorterTCountsWhenTheLongerOneHasEnded(t *testing.T) {
	d := newDesk(switchover.PhaseFrozen).disaster()
	d.expect(t, 8, "")
	d.state.Maps["users"] = &switchover.Map{Shards: 1, Permit: time.Second, PermitBefore: permit}
	d.pass(time.Second)
	d.expect(t, 9, "") // the change is seen now: permits of 5 s may have been given just before
	d.pass(drift(permit) - time.Millisecond)
	d.expect(t, 9, "")
	d.pass(time.Millisecond)
	d.expect(t, 9, "WaitedOut")
}

func TestTheWaitGoesOnWhileTheStoresAreFenced(t *testing.T) {
	d := newDesk(switchover.PhaseFrozen).disaster()
	d.expect(t, 8, "")
	d.pass(permit)
	d.state.Switchovers["s"].Phase = switchover.PhaseFencing // all have acknowledged meanwhile; the old store is out of reach
	d.expect(t, 9, "")
	d.pass(permit / 100) // counted from the freeze
	d.expect(t, 9, "WaitedOut")
}

func TestWhatIsCaughtUpIsCommitted(t *testing.T) {
	newDesk(switchover.PhaseCaughtUp).expect(t, 8, "Commit")
	for _, phase := range []switchover.Phase{
		switchover.PhasePlanned, switchover.PhaseCatchingUp, switchover.PhaseCommitted, switchover.PhasePromoted,
		switchover.PhaseDone, switchover.PhaseAborted, switchover.PhaseSuperseded,
	} {
		newDesk(phase).expect(t, 8, "")
	}
}

func TestAnOpenedSwitchoverEndsWhenAllHaveFollowedOrWithARemark(t *testing.T) {
	d := newDesk(switchover.PhaseOpened)
	d.heard.sessions = map[string]progress{"r1": {rendered: 8}, "r2": {rendered: 8}}
	d.expect(t, 8, "") // the store has not reported
	d.state.Switchovers["s"].Reports = map[string]map[string]switchover.Report{"db": {"b": {Step: 3}}}
	d.expect(t, 8, "") // of an earlier order
	d.state.Switchovers["s"].Reports["db"]["b"] = switchover.Report{Step: 4}
	d.expect(t, 8, "Converged")

	d = newDesk(switchover.PhaseOpened)
	d.expect(t, 8, "")
	d.pass(convergesIn)
	d.expect(t, 8, "") // never without the store
	d.state.Switchovers["s"].Reports = map[string]map[string]switchover.Report{"db": {"b": {Step: 4}}}
	d.memory.see(d.state, 8, d.now)
	proposals, _ := next(d.state, d.memory, d.heard, d.now)
	if len(proposals) != 1 {
		t.Fatalf("%d proposals, want one", len(proposals))
	}
	if message := proposals[0].command.GetConverged().GetMessage(); message != "ended without vm-a/one, vm-b/one" {
		t.Errorf("message %q", message)
	}
}

func TestADeadlineAbortsBeforeTheCommitOnly(t *testing.T) {
	for phase, want := range map[switchover.Phase]string{
		switchover.PhasePlanned: "", switchover.PhaseApproved: "Abort", switchover.PhaseFencing: "Abort",
		switchover.PhaseCaughtUp: "Abort", switchover.PhaseCommitted: "", switchover.PhaseDone: "",
	} {
		d := newDesk(phase)
		d.heard.deadlines["s"] = d.now.Add(-time.Second)
		d.expect(t, 8, want)
	}
	d := newDesk(switchover.PhaseFencing) // it took over from one that is past its commit
	d.state.Switchovers["s"].NoReturn, d.heard.deadlines["s"] = true, d.now
	d.expect(t, 8, "")
	d = newDesk(switchover.PhaseCatchingUp)
	d.heard.deadlines["s"] = d.now.Add(time.Second)
	if got, again := d.look(8); got != "" || again != time.Second {
		t.Errorf("proposes %q and looks again after %s", got, again)
	}
}

func TestReportsOfTheOrderInForceArePassedOnOnce(t *testing.T) {
	d := newDesk(switchover.PhaseCommitted)
	said := switchover.Report{Step: 4, Token: 9, Position: switchover.Position{Epoch: 2, Index: 100}}
	d.heard.reports = []report{
		{store: "db", member: "b", uid: "u", Report: said},
		{store: "db", member: "b", uid: "before", Report: said},
		{store: "db", member: "b", uid: "u", Report: switchover.Report{Step: 3, Token: 9}},
		{store: "gone", member: "b", uid: "u", Report: said},
	}
	d.memory.see(d.state, 8, d.now)
	proposals, _ := next(d.state, d.memory, d.heard, d.now)
	if len(proposals) != 1 {
		t.Fatalf("%d proposals, want one", len(proposals))
	}
	got := proposals[0].command.GetStoreReports().GetReports()
	if len(got) != 1 || got[0].GetPositionIndex() != 100 || got[0].GetToken() != 9 || got[0].GetStep() != 4 {
		t.Errorf("reports %v", got)
	}
	d.state.Switchovers["s"].Reports = map[string]map[string]switchover.Report{"db": {"b": said}}
	d.expect(t, 8, "")
	d.state.Switchovers["s"].Reports, d.state.Switchovers["s"].Phase = nil, switchover.PhaseDone
	d.expect(t, 8, "")
}
