package controller

import (
	"testing"
	"time"

	"pentad.dev/pentad/unitization/switchover"
)

func TestSessionsOfThoseWhoAreGoneAreClosedAndRemovedAfterT(t *testing.T) {
	d := newDesk(switchover.PhaseDone)
	d.expect(t, 8, "")
	d.silent("r1", silentFor-1)
	d.expect(t, 8, "")
	d.silent("r1", silentFor)
	d.expect(t, 8, "CloseSession")
	d.state.Sessions["r1"] = &switchover.Session{ID: "r1", Holder: switchover.Relay, Name: "vm-a/one", Closed: true}
	d.expect(t, 9, "")
	d.pass(drift(permit) - time.Millisecond)
	d.expect(t, 9, "")
	d.pass(time.Millisecond)
	d.expect(t, 9, "RemoveSession")
	d.memory = newMemory() // a new leader waits in full again
	d.expect(t, 9, "")
}

func TestASessionThatNobodySpeaksOfIsClosedInTime(t *testing.T) {
	d := newDesk(switchover.PhaseDone)
	d.expect(t, 8, "")
	delete(d.heard.sessions, "r1") // its server has restarted
	d.pass(silentFor - 1)
	d.expect(t, 8, "")
	d.pass(1)
	d.expect(t, 8, "CloseSession")

	d = newDesk(switchover.PhaseDone) // no server was asked yet: nobody is gone
	d.heard.sessions = nil
	d.expect(t, 8, "")
	d.pass(time.Hour)
	d.expect(t, 8, "")
}

func TestASessionWhoseHolderStartedAgainIsClosed(t *testing.T) {
	d := newDesk(switchover.PhaseDone)
	d.expect(t, 8, "")
	d.state.Sessions["r3"] = &switchover.Session{ID: "r3", Holder: switchover.Relay, Name: "vm-a/one", Center: "a"}
	d.heard.sessions["r3"] = progress{}
	d.silent("r1", reachable-1)
	d.expect(t, 8, "")
	d.silent("r1", reachable)
	d.memory.see(d.state, 8, d.now)
	d.heard.asked = d.now
	proposals, _ := next(d.state, d.memory, d.heard, d.now)
	if len(proposals) != 1 || proposals[0].command.GetCloseSession().GetId() != "r1" {
		t.Errorf("proposals %v, want r1 closed", proposals)
	}
}

func TestANewLeaderWaitsForTheLongerTThatItHasNotSeen(t *testing.T) {
	d := newDesk(switchover.PhaseFrozen).disaster()
	d.state.Maps["users"] = &switchover.Map{Shards: 1, Permit: time.Second, PermitBefore: permit}
	d.expect(t, 8, "")
	d.pass(drift(permit) - time.Millisecond)
	d.expect(t, 8, "")
	d.pass(time.Millisecond)
	d.expect(t, 8, "WaitedOut")
}
