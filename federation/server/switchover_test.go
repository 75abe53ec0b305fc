package server

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/unitization/fence"
	"pentad.dev/pentad/unitization/switchover"
)

func TestAPlannedEvacuationMovesWritesOnceAndLosesNone(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 5, unitsOptions{ledgers: true})
	w := u.write()
	w.flows(0, "rz01.hz-a")
	w.flows(9, "rz02.sh-a")
	u.begin("out", evacuate(v1alpha1.SwitchoverPlanned, "hz-a"))
	u.reaches("out", switchover.PhaseDone, patient)
	w.flows(0, "rz01.sh-a")
	w.flows(4, "rz01.sh-a")
	w.flows(9, "rz02.sh-a")
	w.stop()
	if err := apart(w.all(), true); err != nil {
		t.Error(err)
	}
	w.kept(t, "sh-a")
	s := u.read("out")
	var phases []v1alpha1.SwitchoverPhase
	for _, h := range s.Status.History {
		phases = append(phases, h.Phase)
	}
	want := []v1alpha1.SwitchoverPhase{
		v1alpha1.PhasePlanned, v1alpha1.PhaseApproved, v1alpha1.PhaseFrozen, v1alpha1.PhaseFencing, v1alpha1.PhaseCatchingUp,
		v1alpha1.PhaseCaughtUp, v1alpha1.PhaseCommitted, v1alpha1.PhasePromoted, v1alpha1.PhaseOpened, v1alpha1.PhaseDone,
	}
	if !slices.Equal(phases, want) {
		t.Errorf("phases %v, want %v", phases, want)
	}
	t.Log(timeline(s))
	t.Logf("freeze to open %s; longest silence of shard 0 %s, of shard 4 %s, of shard 9, which does not move, %s",
		between(s, v1alpha1.PhaseFrozen, v1alpha1.PhaseOpened), w.silence(0), w.silence(4), w.silence(9))
}

func TestAnAbortInEachPhaseBeforeTheCommitGivesTheShardsBack(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 3, unitsOptions{times: frozenLong})
	hz, old, sh := u.sites["hz-a"], u.members["hz-a"], u.members["sh-a"]
	w := u.write()
	for _, c := range []struct {
		phase     switchover.Phase
		hold, let func()
	}{
		{switchover.PhasePlanned, func() {}, func() {}},
		{switchover.PhaseApproved, func() { hz.relay.stuck.Store(true) }, func() { hz.relay.stuck.Store(false) }},
		{switchover.PhaseFrozen, nil, nil},
		{switchover.PhaseFencing, func() { old.hold(fence.Fence) }, func() { old.let(fence.Fence) }},
		{switchover.PhaseCatchingUp, func() { sh.hold(fence.CatchUp) }, func() { sh.let(fence.CatchUp) }},
	} {
		w.flows(0, "rz01.hz-a")
		if c.phase == switchover.PhaseFrozen { // a write that takes its time
			d, _ := u.admits("hz-a", 3)
			c.hold, c.let = func() {}, d.Release
		}
		c.hold()
		name := "to-" + strings.ToLower(c.phase.String())
		s := u.plan(name, evacuate(v1alpha1.SwitchoverPlanned, "hz-a"))
		if c.phase > switchover.PhasePlanned {
			u.approve(s)
		}
		if c.phase == switchover.PhaseApproved { // there the freeze comes in time, whatever relays do
			u.reaches(name, c.phase, patient)
		} else {
			u.stays(name, c.phase, 100*time.Millisecond)
		}
		aborted, err := u.api.Switchovers().Abort(t.Context(), name, "second thoughts")
		check(t, err)
		if aborted.Status.Phase != v1alpha1.PhaseAborted || !strings.Contains(aborted.Status.Message, "second thoughts") {
			t.Errorf("aborted in %s: %+v", c.phase, aborted.Status)
		}
		if c.phase != switchover.PhaseFencing { // there the abort alone is enough
			c.let()
		}
		w.flows(0, "rz01.hz-a")
		w.flows(4, "rz01.hz-a")
		c.let()
		u.unlocked()
	}
	w.stop()
	if err := errors.Join(apart(w.all(), true), oneOpen(u.members)); err != nil {
		t.Error(err)
	}
}

// unlocked sees that no switchover holds anything, and that rz01 and its store are in hz-a.
func (u *units) unlocked() {
	u.t.Helper()
	state := u.state()
	store := state.Stores["db"]
	if store.Lock != "" || store.Primary != "hz-a" || !store.Accepting {
		u.t.Errorf("store %+v", store)
	}
	for _, r := range state.Maps["users"].Ranges {
		if r.Lock != "" || r.Frozen || r.Unit == "rz01" && !slices.Equal(r.Cells, []string{"rz01.hz-a"}) {
			u.t.Errorf("range %+v", r)
		}
	}
	if wanted := state.Maps["users"].Wanted; len(wanted) > 0 {
		u.t.Errorf("cells %v are wanted still", wanted)
	}
}

func TestAnAbortAfterTheCommitIsRefusedWithFieldAndRule(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 1, unitsOptions{})
	sh := u.members["sh-a"]
	sh.hold(fence.Promote)
	u.begin("out", evacuate(v1alpha1.SwitchoverPlanned, "hz-a"))
	u.stays("out", switchover.PhaseCommitted, 100*time.Millisecond)
	_, err := u.api.Switchovers().Abort(t.Context(), "out", "second thoughts")
	refused(t, err, apierrors.IsInvalid, "status.phase", "there is no way back past the commit")
	sh.let(fence.Promote)
	u.reaches("out", switchover.PhaseDone, patient)
	_, err = u.api.Switchovers().Abort(t.Context(), "out", "third thoughts")
	refused(t, err, apierrors.IsInvalid, "status.phase", "it has ended")
}

// refused sees that an error is of a kind, and has a cause that names a field and says something of it.
func refused(t *testing.T, err error, kind func(error) bool, field, says string) {
	t.Helper()
	var status apierrors.APIStatus
	if !errors.As(err, &status) || !kind(err) {
		t.Errorf("want a refusal of %s (%s), got %v", field, says, err)
		return
	}
	if d := status.Status().Details; d != nil {
		for _, cause := range d.Causes {
			if cause.Field == field && strings.Contains(cause.Message, says) {
				return
			}
		}
	}
	t.Errorf("want %s: %s, got %v", field, says, err)
}
