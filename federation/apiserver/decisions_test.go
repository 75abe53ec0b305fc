package apiserver

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/client"
	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/apiserver/registry"
)

// decision is the path and the body of a decision on a switchover.
func decision(name, what, field, value string) (path, body string) {
	kind := map[string]string{"approve": "SwitchoverApproval", "abort": "SwitchoverAbort"}[what]
	return api + "switchovers/" + name + "/" + what,
		fmt.Sprintf(`{"apiVersion":"pentad.dev/v1alpha1","kind":%q,%q:%q}`, kind, field, value)
}

func TestDecisions(t *testing.T) {
	a, e := newAuthority(t), newEstate(t, 2)
	e.prompt = true
	s := serve(t, a, e.members[1]) // decisions on a follower go to the leader
	c, ctx := s.client(AdminGroup), t.Context()
	unitized(t, c)
	made, err := c.Switchovers().Create(ctx, evacuation(t), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	post := func(groups []string, what, field, value, query string) answer {
		path, body := decision(made.Name, what, field, value)
		return s.do(t, groups, "POST", path+query, asJSON, body)
	}
	hash := made.Status.PlanHash
	if a := post(viewers(), "approve", "planHash", hash, ""); a.code != http.StatusForbidden {
		t.Errorf("approved by a viewer: %d %s", a.code, a.body)
	}
	if a := post(viewers(), "abort", "reason", "no", ""); a.code != http.StatusForbidden {
		t.Errorf("aborted by a viewer: %d %s", a.code, a.body)
	}
	if a := post(admins(), "approve", "planHash", "", ""); !a.says(http.StatusUnprocessableEntity, "planHash",
		"must be the status.planHash of the plan that you have seen") {
		t.Errorf("approved without a hash: %d %s", a.code, a.body)
	}
	if a := post(admins(), "approve", "planHash", "abc", ""); !a.says(http.StatusConflict, "planHash", `"abc"`, hash) {
		t.Errorf("approved another plan: %d %s, want a conflict that names both hashes", a.code, a.body)
	}
	if a := post(admins(), "approve", "planHash", hash, "?dryRun=All"); a.code != http.StatusCreated ||
		!strings.Contains(a.body, `"phase":"Planned"`) {
		t.Errorf("approved as a dry run: %d %s", a.code, a.body)
	}
	if _, err := c.Switchovers().Approve(ctx, "nothing", hash); !apierrors.IsNotFound(err) {
		t.Errorf("approved what is not there: %v", err)
	}
	if a := post(admins(), "approve", "planHash", hash, ""); a.code != http.StatusCreated ||
		!strings.Contains(a.body, `"phase":"Approved"`) || !strings.Contains(a.body, `"approvedBy":"tester"`) {
		t.Errorf("approved: %d %s", a.code, a.body)
	}
	approved, err := c.Switchovers().Approve(ctx, made.Name, hash)
	if err != nil || approved.Status.Phase != v1alpha1.PhaseApproved {
		t.Errorf("approved again: %+v, %v, want no effect", approved, err)
	}
	refusedWhileItRuns(t, c, made.Name)
	aborted, err := c.Switchovers().Abort(ctx, made.Name, "wrong region")
	if err != nil || aborted.Status.Phase != v1alpha1.PhaseAborted ||
		!strings.Contains(aborted.Status.Message, "by tester: wrong region") {
		t.Errorf("aborted: %+v, %v", aborted, err)
	}
	again, err := c.Switchovers().Abort(ctx, made.Name, "again")
	if err != nil || again.ResourceVersion != aborted.ResourceVersion {
		t.Errorf("aborted again: %+v, %v, want no effect", again, err)
	}
	if a := post(admins(), "approve", "planHash", hash, ""); !a.says(http.StatusUnprocessableEntity, "status.phase",
		"Aborted") {
		t.Errorf("approved what was aborted: %d %s, want a refusal that names the phase", a.code, a.body)
	}
	if err := c.Switchovers().Delete(ctx, made.Name, metav1.DeleteOptions{}); err != nil {
		t.Errorf("deleted after its end: %v", err)
	}
}

// refusedWhileItRuns tries what a running switchover forbids.
func refusedWhileItRuns(t *testing.T, c *client.Client, name string) {
	t.Helper()
	ctx := t.Context()
	for what, err := range map[string]error{
		"deletion of the switchover": c.Switchovers().Delete(ctx, name, metav1.DeleteOptions{}),
		"deletion of users":          c.Unitizations().Delete(ctx, "users", metav1.DeleteOptions{}),
		"deletion of a store":        c.Stores().Delete(ctx, "orders-rz01", metav1.DeleteOptions{}),
		"deletion of a free store":   c.Stores().Delete(ctx, "orders-rz03", metav1.DeleteOptions{}),
		"deletion of a cluster":      c.Clusters().Delete(ctx, "sz-a-vm", metav1.DeleteOptions{}),
	} {
		if !apierrors.IsInvalid(err) {
			t.Errorf("%s: %v, want it refused", what, err)
		}
	}
	second := evacuation(t)
	second.Name = "second"
	made, err := c.Switchovers().Create(ctx, second, metav1.CreateOptions{})
	if err == nil {
		_, err = c.Switchovers().Approve(ctx, made.Name, made.Status.PlanHash)
	}
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), name) {
		t.Errorf("a second switchover of the same shards: %v, want a refusal that names the first", err)
	}
}

// TestAPlanThatChangedIsAConflict: rule 22 of ownership: the approver has not seen what would happen now.
func TestAPlanThatChangedIsAConflict(t *testing.T) {
	s := serve(t, newAuthority(t), newEstate(t, 1).members[0])
	c, ctx := s.client(AdminGroup), t.Context()
	unitized(t, c)
	made, err := c.Switchovers().Create(ctx, evacuation(t), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	u := users(t)
	u.Spec.Units[0].Cells = append(u.Spec.Units[0].Cells, v1alpha1.Cell{Center: "sh-b", Standby: true})
	if _, err := c.Unitizations().Update(ctx, u, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	path, body := decision(made.Name, "approve", "planHash", made.Status.PlanHash)
	if a := s.do(t, admins(), "POST", path, asJSON, body); !a.says(http.StatusConflict, "planHash", "another plan") {
		t.Errorf("approved: %d %s, want a conflict", a.code, a.body)
	}
}

// approvesUnseen says whether a server lets a switchover begin by the hash of another plan.
func approvesUnseen(t *testing.T, plants ...func(*Config)) bool {
	t.Helper()
	c, ctx := serve(t, newAuthority(t), newEstate(t, 1).members[0], plants...).client(AdminGroup), t.Context()
	unitized(t, c)
	made, err := c.Switchovers().Create(ctx, evacuation(t), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Switchovers().Approve(ctx, made.Name, "abc")
	return !apierrors.IsConflict(err)
}

func TestAnApprovalIsForThePlanThatWasSeen(t *testing.T) {
	if approvesUnseen(t) {
		t.Error("approved by another hash")
	}
	if !approvesUnseen(t, plant(registry.Planted{AnyPlan: true})) {
		t.Error("a server that approves whatever is planned is not found")
	}
}

// impossiblePlans are the switchovers into a closed center that were not refused before they came into the log: also a
// dry run, which never gets to the state machine, must be.
func impossiblePlans(t *testing.T, plants ...func(*Config)) []string {
	t.Helper()
	e := newEstate(t, 1)
	c, ctx := serve(t, newAuthority(t), e.members[0], plants...).client(AdminGroup), t.Context()
	unitized(t, c)
	nowhere := &v1alpha1.Switchover{
		ObjectMeta: metav1.ObjectMeta{Name: "nowhere"},
		Spec: v1alpha1.SwitchoverSpec{Mode: v1alpha1.SwitchoverPlanned, Moves: []v1alpha1.Move{{
			Unitization: "users", Unit: "rz01", ToCenters: []string{"sh-a"},
		}}},
	}
	closed := center("sh-a", "shanghai")
	closed.Spec.Phase = v1alpha1.CenterClosed
	if _, err := c.Centers().Update(ctx, closed, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	before := len(e.log)
	var wrong []string
	for _, options := range []metav1.CreateOptions{{}, {DryRun: []string{metav1.DryRunAll}}} {
		_, err := c.Switchovers().Create(ctx, nowhere, options)
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.moves[0].toCenters[0]") {
			wrong = append(wrong, fmt.Sprintf("dry run %q: %v", options.DryRun, err))
		}
	}
	if len(e.log) != before {
		wrong = append(wrong, "a command was proposed")
	}
	return wrong
}

func TestImpossiblePlansAreRefusedBeforeTheLog(t *testing.T) {
	if wrong := impossiblePlans(t); len(wrong) > 0 {
		t.Errorf("not refused: %s", strings.Join(wrong, "\n"))
	}
	if wrong := impossiblePlans(t, plant(registry.Planted{NoPreview: true})); len(wrong) != 2 {
		t.Errorf("a server that looks at no plan is not found: %q", wrong)
	}
}
