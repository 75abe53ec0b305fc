package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/unitization/fence"
	"pentad.dev/pentad/unitization/switchover"
)

// create creates a switchover and returns the refusal.
func (u *units) create(name string, spec v1alpha1.SwitchoverSpec) error {
	s := &v1alpha1.Switchover{ObjectMeta: named(name), Spec: spec}
	_, err := u.api.Switchovers().Create(u.t.Context(), s, createOptions)
	return err
}

// inTime says whether something was done before a deadline, which a busy machine may miss.
func (u *units) inTime(err error) bool {
	u.t.Helper()
	if err != nil && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.deadline")) {
		u.t.Fatal(err)
	}
	return err == nil
}

func TestASwitchoverThatMustNotBeginIsRefusedWithFieldAndRule(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 1, unitsOptions{})
	ctx := t.Context()
	for _, c := range []*v1alpha1.Center{
		{ObjectMeta: named("sz-q"), Spec: v1alpha1.CenterSpec{Region: "shenzhen", Role: v1alpha1.CenterArbiter}},
		{ObjectMeta: named("sz-z"), Spec: v1alpha1.CenterSpec{Region: "shenzhen", Phase: v1alpha1.CenterClosed}},
	} {
		_, err := u.api.Centers().Create(ctx, c, createOptions)
		check(t, err)
	}
	for _, c := range []struct {
		name, field, says string
		spec              v1alpha1.SwitchoverSpec
	}{
		{"arbiter", "spec.moves[0].toCenters[0]", "sz-q", moveTo(v1alpha1.SwitchoverPlanned, "sz-q")},
		{"closed", "spec.moves[0].toCenters[0]", "sz-z", moveTo(v1alpha1.SwitchoverPlanned, "sz-z")},
		{"unknown", "spec.moves[0].toCenters[0]", "nowhere", moveTo(v1alpha1.SwitchoverPlanned, "nowhere")},
		{"nothing", "spec", "", v1alpha1.SwitchoverSpec{Mode: v1alpha1.SwitchoverPlanned}},
		{"no-region", "spec.evacuate.region", "atlantis", v1alpha1.SwitchoverSpec{
			Mode: v1alpha1.SwitchoverPlanned, Evacuate: &v1alpha1.Evacuation{Region: "atlantis"},
		}},
		{"supersedes", "spec.supersedes", "", func() v1alpha1.SwitchoverSpec {
			s := moveTo(v1alpha1.SwitchoverDisaster, "sh-a")
			s.Supersedes = "nobody"
			return s
		}()},
	} {
		refused(t, u.create(c.name, c.spec), apierrors.IsInvalid, c.field, c.says)
	}
	expired := moveTo(v1alpha1.SwitchoverPlanned, "sh-a")
	expired.Deadline = &metav1.Time{Time: time.Now().Add(-time.Minute)}
	refused(t, u.create("expired", expired), apierrors.IsInvalid, "spec.deadline", "")
}

func TestAnApprovalIsForOnePlanAndInTime(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 1, unitsOptions{})
	ctx := t.Context()
	s := u.plan("out", evacuate(v1alpha1.SwitchoverPlanned, "hz-a"))
	_, err := u.api.Switchovers().Approve(ctx, "out", "0123456789abcdef")
	refused(t, err, apierrors.IsConflict, "planHash", s.Status.PlanHash)
	_, err = u.api.Switchovers().Approve(ctx, "out", "")
	refused(t, err, apierrors.IsInvalid, "planHash", "status.planHash")

	hasty := evacuate(v1alpha1.SwitchoverPlanned, "hz-a")
	for left := 2 * time.Second; ; left *= 2 { // it must not be over before it is taken
		hasty.Deadline = &metav1.Time{Time: time.Now().Add(left).Truncate(time.Second)}
		if u.inTime(u.create("late", hasty)) {
			break
		}
	}
	late := u.read("late")
	time.Sleep(time.Until(hasty.Deadline.Time) + 10*time.Millisecond)
	_, err = u.api.Switchovers().Approve(ctx, "late", late.Status.PlanHash)
	refused(t, err, apierrors.IsInvalid, "spec.deadline", "")

	// What nobody approves stays as it is.
	for _, name := range []string{"out", "late"} {
		if phase := u.phase(name); phase != switchover.PhasePlanned {
			t.Errorf("switchover %s, which is not approved, is %s", name, phase)
		}
	}
	u.unlocked()

	// Two of the same plan: the second is not approved while the first runs, nor afterwards, when nothing is left to move.
	second := u.plan("second", evacuate(v1alpha1.SwitchoverPlanned, "hz-a"))
	u.members["sh-a"].hold(fence.CatchUp)
	u.approve(s)
	u.reaches("out", switchover.PhaseCatchingUp, patient)
	_, err = u.api.Switchovers().Approve(ctx, "second", second.Status.PlanHash)
	refused(t, err, apierrors.IsInvalid, "spec", "are in switchover out, which is running")
	u.members["sh-a"].let(fence.CatchUp)
	u.reaches("out", switchover.PhaseDone, patient)
	_, err = u.api.Switchovers().Approve(ctx, "second", second.Status.PlanHash)
	refused(t, err, apierrors.IsInvalid, "spec", "there is nothing to move")
}

func TestInTheMiddleOfASwitchoverNothingElseMovesWhatItHolds(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 1, unitsOptions{})
	ctx := t.Context()
	sh := u.members["sh-a"]
	sh.hold(fence.CatchUp, fence.Promote)
	u.begin("out", evacuate(v1alpha1.SwitchoverPlanned, "hz-a"))
	for _, phase := range []switchover.Phase{switchover.PhaseCatchingUp, switchover.PhaseCommitted} {
		u.reaches("out", phase, patient)
		before := u.state()
		err := u.create("too", moveTo(v1alpha1.SwitchoverPlanned, "sz-a"))
		refused(t, err, apierrors.IsInvalid, "spec", "are in switchover out, which is running")
		// GitOps applies what is declared again and again; also with a change that is allowed.
		again := users(u.permit)
		carts := v1alpha1.ServiceBinding{Name: "carts-" + strings.ToLower(phase.String())}
		again.Spec.Services = append(again.Spec.Services, carts)
		for _, declared := range []*v1alpha1.Unitization{users(u.permit), again} {
			_, err = u.api.Unitizations().Apply(ctx, declared, metav1.ApplyOptions{FieldManager: "gitops", Force: true})
			check(t, err)
		}
		// Nor is anything taken away that the switchover stands on.
		less, err := u.api.Unitizations().Get(ctx, "users", metav1.GetOptions{})
		check(t, err)
		less.Spec.Units[0].Cells = less.Spec.Units[0].Cells[:1]
		_, err = u.api.Unitizations().Update(ctx, less, metav1.UpdateOptions{})
		refused(t, err, apierrors.IsInvalid, "spec.units[0].cells", "must stay")
		running := "wait until it has ended, or abort it"
		err = u.api.Unitizations().Delete(ctx, "users", metav1.DeleteOptions{})
		refused(t, err, apierrors.IsInvalid, "metadata.name", running)
		err = u.api.Stores().Delete(ctx, "db", metav1.DeleteOptions{})
		refused(t, err, apierrors.IsInvalid, "metadata.name", running)
		err = u.api.Switchovers().Delete(ctx, "out", metav1.DeleteOptions{})
		refused(t, err, apierrors.IsInvalid, "metadata.name", "holds locks")
		after := u.state()
		if after.Epoch != before.Epoch || after.Maps["users"] != before.Maps["users"] ||
			after.Stores["db"] != before.Stores["db"] || after.Switchovers["out"] != before.Switchovers["out"] {
			t.Errorf("ownership has changed in phase %s, epoch %d to %d", phase, before.Epoch, after.Epoch)
		}
		sh.let(fence.CatchUp)
	}
	sh.let(fence.Promote)
	u.reaches("out", switchover.PhaseDone, patient)
	if r, _ := u.state().MapAt("users", 0); r.Cells[0] != "rz01.sh-a" {
		t.Errorf("rz01 is in %v", r.Cells)
	}
}

func TestADeadlineThatPassesInTheMiddleRollsBack(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 1, unitsOptions{})
	w := u.write()
	w.flows(0, "rz01.hz-a")
	u.members["sh-a"].hold(fence.CatchUp)
	spec := evacuate(v1alpha1.SwitchoverPlanned, "hz-a")
	for n, left := 1, scaled(4*time.Second); ; n, left = n+1, 2*left { // it must not pass before the switchover is in the middle
		spec.Deadline = &metav1.Time{Time: time.Now().Add(left).Truncate(time.Second)}
		name := fmt.Sprintf("out-%d", n)
		if !u.inTime(u.create(name, spec)) {
			continue
		}
		_, err := u.api.Switchovers().Approve(t.Context(), name, u.read(name).Status.PlanHash)
		if !u.inTime(err) {
			continue
		}
		u.reaches(name, switchover.PhaseAborted, patient)
		message := u.read(name).Status.Message
		if !strings.Contains(message, "its deadline") {
			t.Fatalf("message %q", message)
		}
		if strings.Contains(message, "CatchingUp") {
			break
		}
		w.flows(0, "rz01.hz-a")
	}
	w.flows(0, "rz01.hz-a")
	u.unlocked()
	w.stop()
	if err := apart(w.all(), true); err != nil {
		t.Error(err)
	}
}
