package server

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/unitization/fence"
	"pentad.dev/pentad/unitization/switchover"
)

// station is a phase that a planned evacuation of hz-a is held in, and what lets it go on. In CaughtUp nothing holds it
// but the lack of a leader.
type station struct {
	phase switchover.Phase
	let   func()
}

// held holds a planned evacuation in every phase that waits for somebody.
func (u *units) held() []station {
	u.t.Helper()
	hz, sh := u.sites["hz-a"], u.members["sh-a"]
	for _, m := range u.members {
		m.hold(everything...)
	}
	hz.relay.stuck.Store(true)
	slow, _ := u.admits("hz-a", 3)
	return []station{
		{switchover.PhaseApproved, func() { hz.relay.stuck.Store(false) }},
		{switchover.PhaseFrozen, func() { slow.Release() }},
		{switchover.PhaseFencing, func() {
			for _, m := range u.members {
				m.let(fence.Fence)
			}
		}},
		{switchover.PhaseCatchingUp, func() { sh.let(fence.CatchUp) }},
		{switchover.PhaseCommitted, func() { sh.let(fence.Promote) }},
		{switchover.PhaseOpened, func() { sh.let(fence.Open) }},
	}
}

func TestASwitchoverGoesOnWhenTheLeadershipIsHandedOverInEachPhase(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 3, unitsOptions{times: frozenLong})
	w := u.write()
	w.flows(0, "rz01.hz-a")
	stations := u.held()
	u.begin("out", evacuate(v1alpha1.SwitchoverPlanned, "hz-a"))
	for _, at := range stations {
		u.reaches("out", at.phase, patient)
		next := u.configs[(u.leader()+1)%3].Name
		comes(t, "leadership of "+next, func() error { // a busy machine may elect somebody else meanwhile
			if err := u.api.TransferLeadership(t.Context(), next); err != nil {
				return err
			}
			if got := u.configs[u.leader()].Name; got != next {
				return fmt.Errorf("%s leads", got)
			}
			return nil
		})
		if at.phase != switchover.PhaseApproved { // there the freeze comes in time, whatever relays do
			u.stays("out", at.phase, 50*time.Millisecond)
		}
		at.let()
	}
	u.reaches("out", switchover.PhaseDone, patient)
	w.flows(0, "rz01.sh-a")
	w.stop()
	if err := errors.Join(apart(w.all(), true), oneOpen(u.members)); err != nil {
		t.Error(err)
	}
}

func TestASwitchoverGoesOnWhenTheLeaderStopsInEachPhase(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 3, unitsOptions{times: frozenLong})
	w := u.write()
	w.flows(0, "rz01.hz-a")
	stations := u.held()
	u.begin("out", evacuate(v1alpha1.SwitchoverPlanned, "hz-a"))
	for _, at := range stations {
		u.reaches("out", at.phase, patient)
		old := u.leader()
		u.stop(old)
		at.let()
		u.reaches("out", at.phase+1, patient)
		u.start(old)
		u.leader()
	}
	u.reaches("out", switchover.PhaseDone, patient)
	w.flows(0, "rz01.sh-a")
	w.stop()
	if err := errors.Join(apart(w.all(), true), oneOpen(u.members)); err != nil {
		t.Error(err)
	}
}

// A new leader has seen nothing, so it waits for the end of permits in full again (rule 5 of ownership).
func TestTheWaitBeginsAnewUnderANewLeader(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 3, unitsOptions{ledgers: true, times: 5}) // much is left of T after a fraction of it
	w := u.write()
	w.flows(0, "rz01.hz-a")
	u.sites["hz-a"].vanish()
	u.begin("rescue", evacuate(v1alpha1.SwitchoverDisaster, "hz-a"))
	u.reaches("rescue", switchover.PhaseFrozen, patient)
	u.stays("rescue", switchover.PhaseFrozen, u.permit/8)
	var began time.Time // before the new leader's term
	for changed := false; !changed; {
		began = time.Now()
		_, _, before := u.servers[0].node.Leader()
		check(t, u.api.TransferLeadership(t.Context(), u.configs[(u.leader()+1)%3].Name))
		u.leader()
		_, _, after := u.servers[0].node.Leader()
		changed = after > before // else the one that is to lead was elected before it was told to
	}
	u.reaches("rescue", switchover.PhaseFencing, patient)
	if took := time.Since(began); took < u.waited() {
		t.Errorf("the new leader waited for %s, and must for %s", took, u.waited())
	}
	u.reaches("rescue", switchover.PhaseDone, patient)
	w.stop()
	if err := apart(w.all(), false); err != nil {
		t.Error(err)
	}
}
