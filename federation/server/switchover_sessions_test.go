package server

import (
	"testing"
	"time"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/unitization/switchover"
)

// sessionsOf are those of a center's relay, by id.
func (u *units) sessionsOf(center string) map[string]*switchover.Session {
	of := map[string]*switchover.Session{}
	for id, s := range u.state().Sessions {
		if s.Holder == switchover.Relay && s.Center == center {
			of[id] = s
		}
	}
	return of
}

func TestTheSessionOfARelayThatHasRestartedIsClosedAndRemovedAfterT(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 3, unitsOptions{})
	w := u.write()
	w.flows(0, "rz01.hz-a")
	s := u.sites["hz-a"]
	old := s.relay.client.Status().Session
	s.stopRelay()
	s.startRelay()
	eventually(t, "another session", patient, func() bool {
		for id := range u.sessionsOf("hz-a") {
			if id != old {
				return true
			}
		}
		return false
	})
	w.flows(0, "rz01.hz-a") // the new one grants at once
	var open time.Time      // it was, the last time that somebody looked
	eventually(t, "closed session", patient, func() bool {
		now := time.Now()
		if is := u.sessionsOf("hz-a")[old]; is == nil || is.Closed {
			return true
		}
		open = now
		return false
	})
	eventually(t, "removed session", patient, func() bool { return u.sessionsOf("hz-a")[old] == nil })
	if after := time.Since(open); after < u.permit {
		t.Errorf("the session is removed %s after it was open, before its last permit has ended", after)
	}
	if left := u.sessionsOf("hz-a"); len(left) != 1 {
		t.Errorf("%d sessions are left", len(left))
	}
	w.flows(0, "rz01.hz-a")
}

// A relay that nobody reaches keeps its session until its permits have ended for sure. What is planned waits for that
// before it freezes anything, and goes on.
func TestARelayThatIsCutOffIsWaitedForBeforeTheFreeze(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 3, unitsOptions{})
	w := u.write()
	w.flows(0, "rz01.hz-a")
	u.cutOff(relayPlace("hz-a").Center, true)
	u.begin("out", evacuate(v1alpha1.SwitchoverPlanned, "hz-a"))
	u.goesOn("out", u.waited())
	w.flows(0, "rz01.sh-a")
	w.stop()
	if err := apart(w.all(), true); err != nil {
		t.Error(err)
	}
}

// A relay that is restarted may grant at once, and acknowledges nothing for T: the freeze waits for that, too.
func TestARelayThatHasJustRestartedIsWaitedForBeforeTheFreeze(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 3, unitsOptions{})
	w := u.write()
	w.flows(0, "rz01.hz-a")
	s := u.sites["hz-a"]
	s.stopRelay()
	s.startRelay()
	w.flows(0, "rz01.hz-a")
	u.begin("out", evacuate(v1alpha1.SwitchoverPlanned, "hz-a"))
	u.goesOn("out", u.waited())
	w.flows(0, "rz01.sh-a")
	w.stop()
	if err := apart(w.all(), true); err != nil {
		t.Error(err)
	}
}

// One that is lost when everything is frozen, with a write in flight, holds that up until its permits have ended.
func TestARelayThatIsLostAfterTheFreezeIsWaitedForUntilItsPermitsHaveEnded(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 3, unitsOptions{times: frozenLong})
	w := u.write()
	w.flows(0, "rz01.hz-a")
	slow, _ := u.admits("hz-a", 3)
	u.begin("out", evacuate(v1alpha1.SwitchoverPlanned, "hz-a"))
	u.stays("out", switchover.PhaseFrozen, 100*time.Millisecond)
	u.cutOff(relayPlace("hz-a").Center, true)
	u.goesOn("out", heardWithin+u.waited()+scaled(4*time.Second)) // on a machine that does much else
	slow.Release()
	w.flows(0, "rz01.sh-a")
	w.stop()
	if err := apart(w.all(), true); err != nil {
		t.Error(err)
	}
}

// heardWithin is for how long the leader takes a relay that is not heard of for one within reach.
const heardWithin = 3 * time.Second

// goesOn sees that a switchover ends, and was frozen no longer than that, and a moment.
func (u *units) goesOn(name string, frozen time.Duration) {
	u.t.Helper()
	machine := hinders(u.t)
	_, _, before := u.servers[0].node.Leader()
	u.reaches(name, switchover.PhaseDone, patient)
	_, _, after := u.servers[0].node.Leader()
	frozen *= time.Duration(1 + after - before) // each new leader waits in full again (rule 5 of ownership)
	s := u.read(name)
	lost := machine.lost(began(s, v1alpha1.PhaseFrozen), began(s, v1alpha1.PhaseOpened))
	if is := between(s, v1alpha1.PhaseFrozen, v1alpha1.PhaseOpened); is-lost > frozen+scaled(500*time.Millisecond) {
		u.t.Errorf("frozen for %s, of which the machine took %s, want %s at most", is, lost, frozen)
	}
	u.t.Log(timeline(s))
}
