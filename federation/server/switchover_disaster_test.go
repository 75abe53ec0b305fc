package server

import (
	"errors"
	"testing"
	"time"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/unitization/fence"
	"pentad.dev/pentad/unitization/guard"
	"pentad.dev/pentad/unitization/switchover"
)

func TestADeadCenterIsTakenOverWithinTAndTwoSeconds(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 3, unitsOptions{ledgers: true})
	machine := hinders(t)
	w := u.write()
	w.flows(0, "rz01.hz-a")
	u.sites["hz-a"].vanish()
	_, _, before := u.servers[0].node.Leader()
	s := u.plan("rescue", evacuate(v1alpha1.SwitchoverDisaster, "hz-a"))
	approved := time.Now()
	u.approve(s)
	u.reaches("rescue", switchover.PhaseOpened, patient)
	opened := time.Since(approved)
	_, _, after := u.servers[0].node.Leader()
	lost := machine.lost(approved, approved.Add(opened))
	w.flows(0, "rz01.sh-a")
	most := (u.permit + scaled(2*time.Second)) * time.Duration(1+after-before) // each new leader waits in full again
	if opened < u.permit || opened-lost > most {
		t.Errorf("opened %s after the approval, of which the machine took %s, want between T (%s) and %s: T + 2s, as slow as this machine is",
			opened, lost, u.permit, most)
	}
	u.reaches("rescue", switchover.PhaseDone, patient)
	w.stop()
	if err := apart(w.all(), false); err != nil {
		t.Error(err)
	}
	w.kept(t, "sh-a")
	if s = u.read("rescue"); !s.Status.WaitedOut {
		t.Errorf("status %+v does not say that permits were waited out", s.Status)
	}
	t.Log(timeline(s))
	t.Logf("approval to open %s with T %s, of which the machine took %s; longest silence of shard 0 %s", opened, u.permit, lost, w.silence(0))
}

// The old side lives on and has clients, but nobody reaches it: its guard and its store close by themselves.
func TestACenterThatIsCutOffRefusesWritesByItselfAfterT(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 3, unitsOptions{ledgers: true})
	w := u.write()
	w.flows(0, "rz01.hz-a")
	u.isolate("hz-a", true)
	cut := time.Now()
	u.begin("rescue", evacuate(v1alpha1.SwitchoverDisaster, "hz-a"))
	u.reaches("rescue", switchover.PhaseDone, patient)
	w.flows(0, "rz01.sh-a")
	var last time.Time
	for _, one := range w.all() {
		if one.cell == "rz01.hz-a" {
			last = latest(last, one.asked)
		}
	}
	if after := last.Sub(cut); after > u.permit {
		t.Errorf("the guard that is cut off let a write in %s after the cut", after)
	}
	g := u.sites["hz-a"].guards["rz01"]
	if d := g.Check("/sample/Write", []string{"0"}); d.Reason != guard.NoPermit {
		t.Errorf("the guard that is cut off says %q, want %s", d.Reason, guard.NoPermit)
	}
	u.isolate("hz-a", false)
	eventually(t, "refusal that names the right cell", patient, func() bool {
		d := g.Check("/sample/Write", []string{"0"})
		return d.Reason == guard.WrongCell && d.Cell == "rz01.sh-a"
	})
	w.stop()
	if err := apart(w.all(), false); err != nil {
		t.Error(err)
	}
	w.kept(t, "sh-a")
}

// A new primary that dies between the commit and its promotion leaves no way back, but a way on.
func TestADisasterTakesOverFromASwitchoverWhoseNewPrimaryDied(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 3, unitsOptions{})
	sh := u.members["sh-a"]
	w := u.write()
	w.flows(0, "rz01.hz-a")
	sh.hold(fence.Promote)
	u.begin("out", evacuate(v1alpha1.SwitchoverPlanned, "hz-a"))
	u.reaches("out", switchover.PhaseCommitted, patient)
	u.sites["sh-a"].vanish()
	sh.hold(everything...)
	spec := moveTo(v1alpha1.SwitchoverDisaster, "sz-a")
	_, err := u.api.Switchovers().Create(t.Context(),
		&v1alpha1.Switchover{ObjectMeta: named("on"), Spec: spec}, createOptions)
	if err == nil {
		t.Error("a switchover of what another one holds is created")
	}
	spec.Supersedes = "out"
	u.begin("on", spec)
	u.reaches("on", switchover.PhaseDone, patient)
	if phase := u.phase("out"); phase != switchover.PhaseSuperseded {
		t.Errorf("the switchover that was taken over from is %s", phase)
	}
	w.flows(0, "rz01.sz-a")
	t.Log(timeline(u.read("on")))
	// What the dead primary was asked long ago comes true now.
	sh.let(everything...)
	u.isolate("sh-a", false)
	w.flows(4, "rz01.sz-a")
	w.stop()
	if err := errors.Join(apart(w.all(), false), oneOpen(u.members)); err != nil {
		t.Error(err)
	}
}
