package server

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/client"
	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/unitization/switchover"
)

// plan creates a switchover.
func (u *units) plan(name string, spec v1alpha1.SwitchoverSpec) *v1alpha1.Switchover {
	u.t.Helper()
	s := create(u.t, u.api.Switchovers().Resource, &v1alpha1.Switchover{ObjectMeta: named(name), Spec: spec})
	if s.Status.Phase != v1alpha1.PhasePlanned || s.Status.PlanHash == "" {
		u.t.Fatalf("switchover %s is created as %+v", name, s.Status)
	}
	return s
}

// approve approves a switchover by its plan's hash.
func (u *units) approve(s *v1alpha1.Switchover) {
	u.t.Helper()
	approved, err := u.api.Switchovers().Approve(u.t.Context(), s.Name, s.Status.PlanHash)
	check(u.t, err)
	if approved.Status.ApprovedBy != "ops" {
		u.t.Errorf("approved by %q", approved.Status.ApprovedBy)
	}
}

// begin creates and approves.
func (u *units) begin(name string, spec v1alpha1.SwitchoverSpec) {
	u.t.Helper()
	u.approve(u.plan(name, spec))
}

func evacuate(mode v1alpha1.SwitchoverMode, center string) v1alpha1.SwitchoverSpec {
	return v1alpha1.SwitchoverSpec{Mode: mode, Evacuate: &v1alpha1.Evacuation{Center: center}}
}

// moveTo moves rz01 and its primary to a center.
func moveTo(mode v1alpha1.SwitchoverMode, center string) v1alpha1.SwitchoverSpec {
	return v1alpha1.SwitchoverSpec{Mode: mode, Moves: []v1alpha1.Move{{
		Unitization: "users", Unit: "rz01", ToCenters: []string{center}, ToPrimary: center,
	}}}
}

// phase is that of a switchover as the newest server has it; 0: there is none.
func (u *units) phase(name string) switchover.Phase {
	if o := u.state().Switchovers[name]; o != nil {
		return o.Phase
	}
	return 0
}

// reaches waits until a switchover has come to a phase.
func (u *units) reaches(name string, phase switchover.Phase, within time.Duration) {
	u.t.Helper()
	for deadline := time.Now().Add(within); u.phase(name) < phase; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			u.t.Fatalf("switchover %s is %s after %s, wanted %s: %s\n%s", name, u.phase(name), within, phase,
				u.state().Waiting(name), strings.Join(u.explain(name).Details, "\n"))
		}
	}
}

// stays sees that a switchover does not leave a phase for a while.
func (u *units) stays(name string, phase switchover.Phase, during time.Duration) {
	u.t.Helper()
	u.reaches(name, phase, patient)
	for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if now := u.phase(name); now != phase {
			u.t.Fatalf("switchover %s is %s, and must stay %s", name, now, phase)
		}
	}
}

func (u *units) explain(name string) *client.Explanation {
	u.t.Helper()
	e, err := u.api.ExplainSwitchover(u.t.Context(), name)
	check(u.t, err)
	return e
}

// read is a switchover as the API has it.
func (u *units) read(name string) *v1alpha1.Switchover {
	u.t.Helper()
	s, err := u.api.Switchovers().Get(u.t.Context(), name, metav1.GetOptions{})
	check(u.t, err)
	return s
}

// between is how long after one phase another one began, by the switchover's own history.
func between(s *v1alpha1.Switchover, from, to v1alpha1.SwitchoverPhase) time.Duration {
	return began(s, to).Sub(began(s, from))
}

// began is when a phase began, by the switchover's own history.
func began(s *v1alpha1.Switchover, phase v1alpha1.SwitchoverPhase) (at time.Time) {
	for _, h := range s.Status.History {
		if h.Phase == phase {
			at = h.Time.Time
		}
	}
	return at
}

// timeline is how long each phase took.
func timeline(s *v1alpha1.Switchover) string {
	var line []string
	for i, h := range s.Status.History[1:] {
		before := s.Status.History[i]
		line = append(line, fmt.Sprintf("%s %s", before.Phase, h.Time.Sub(before.Time.Time)))
	}
	return strings.Join(line, ", ")
}
