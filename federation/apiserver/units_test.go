package apiserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/yaml"

	"pentad.dev/pentad/client"
	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/apiserver/registry"
)

const examples = "../../docs/examples"

// example decodes the objects of an example.
func example[T v1alpha1.Object](t testing.TB, file string, made func() T) []T {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(examples, file))
	if err != nil {
		t.Fatal(err)
	}
	var all []T
	for _, document := range bytes.Split(content, []byte("\n---\n")) {
		object := made()
		if err := yaml.UnmarshalStrict(document, object); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, object)
	}
	return all
}

func users(t testing.TB) *v1alpha1.Unitization {
	t.Helper()
	return example(t, "users.yaml", func() *v1alpha1.Unitization { return &v1alpha1.Unitization{} })[0]
}

func evacuation(t testing.TB) *v1alpha1.Switchover {
	t.Helper()
	return example(t, "evacuate-hangzhou.yaml", func() *v1alpha1.Switchover { return &v1alpha1.Switchover{} })[0]
}

// unitized declares five centers, their clusters, and the examples' stores and users.
func unitized(t testing.TB, c *client.Client) {
	t.Helper()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	for name, region := range map[string]string{
		"hz-a": "hangzhou", "hz-b": "hangzhou", "sh-a": "shanghai", "sh-b": "shanghai", "sz-a": "shenzhen",
	} {
		must(c.Centers().Create(ctx, center(name, region), metav1.CreateOptions{}))
		must(c.Clusters().Create(ctx, cluster(name+"-vm", name), metav1.CreateOptions{}))
	}
	for _, store := range example(t, "stores.yaml", func() *v1alpha1.Store { return &v1alpha1.Store{} }) {
		must(c.Stores().Create(ctx, store, metav1.CreateOptions{}))
	}
	must(c.Unitizations().Create(ctx, users(t), metav1.CreateOptions{}))
}

// TestWritesAnswerWithWhatTheStateMachineAdds: the answer to a write is the object as a read right afterwards shows it.
func TestWritesAnswerWithWhatTheStateMachineAdds(t *testing.T) {
	s := serve(t, newAuthority(t), newEstate(t, 1).members[0])
	c, ctx := s.client(AdminGroup), t.Context()
	unitized(t, c)
	store, err := c.Stores().Get(ctx, "orders-rz01", metav1.GetOptions{})
	if err != nil || store.Status.Primary != "hz-a" || store.Status.State != v1alpha1.StoreOpen {
		t.Errorf("store %+v, %v: want it open at hz-a", store, err)
	}
	made, err := c.Switchovers().Create(ctx, evacuation(t), metav1.CreateOptions{})
	if err != nil || made.Status.Phase != v1alpha1.PhasePlanned || made.Status.PlanHash == "" ||
		len(made.Status.Plan) != 2 {
		t.Fatalf("created %+v, %v: want it planned, with hash and two moves", made, err)
	}
	read, err := c.Switchovers().Get(ctx, made.Name, metav1.GetOptions{})
	if err != nil || read.ResourceVersion != made.ResourceVersion || !v1alpha1.StatusEqual(read, made) {
		t.Errorf("read %+v, %v\nwant %+v", read, err, made)
	}
}

// statusOfCallers are the writes with a status of the caller's own that were not answered with the one that is.
func statusOfCallers(t *testing.T, s *served) []string {
	t.Helper()
	c, ctx := s.client(AdminGroup), t.Context()
	unitized(t, c)
	sent := evacuation(t)
	sent.Status.Phase = v1alpha1.PhaseDone
	var wrong []string
	made, err := c.Switchovers().Create(ctx, sent, metav1.CreateOptions{})
	if err != nil || made.Status.Phase != v1alpha1.PhasePlanned {
		wrong = append(wrong, fmt.Sprintf("created %+v, %v", made.Status, err))
	}
	users, err := c.Unitizations().Get(ctx, "users", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	other := users.DeepCopy()
	other.Labels, other.Status.Ranges[0].Unit = map[string]string{"a": "b"}, "rz04"
	updated, err := c.Unitizations().Update(ctx, other, metav1.UpdateOptions{})
	if err != nil || !v1alpha1.StatusEqual(updated, users) || updated.Labels["a"] != "b" {
		wrong = append(wrong, fmt.Sprintf("updated %+v, %v", updated.Status, err))
	}
	return wrong
}

func TestAStatusOfTheCallerIsIgnored(t *testing.T) {
	s := serve(t, newAuthority(t), newEstate(t, 1).members[0])
	if wrong := statusOfCallers(t, s); len(wrong) > 0 {
		t.Errorf("not ignored: %s", strings.Join(wrong, "\n"))
	}
	planted := serve(t, newAuthority(t), newEstate(t, 1).members[0], plant(registry.Planted{StatusFromCaller: true}))
	if wrong := statusOfCallers(t, planted); len(wrong) == 0 {
		t.Error("a server that proposes a caller's status is not found")
	}
}

// TestReapplyingChangesNothing: rule 22 of ownership, also while a switchover runs.
func TestReapplyingChangesNothing(t *testing.T) {
	s := serve(t, newAuthority(t), newEstate(t, 1).members[0])
	c, ctx := s.client(AdminGroup), t.Context()
	unitized(t, c)
	apply := func() *v1alpha1.Unitization {
		t.Helper()
		u, err := c.Unitizations().Apply(ctx, users(t), metav1.ApplyOptions{FieldManager: "gitops", Force: true})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	first := apply()
	if again := apply(); again.ResourceVersion != first.ResourceVersion {
		t.Errorf("applied again: resourceVersion %s, want %s", again.ResourceVersion, first.ResourceVersion)
	}
	made, err := c.Switchovers().Create(ctx, evacuation(t), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Switchovers().Approve(ctx, made.Name, made.Status.PlanHash); err != nil {
		t.Fatal(err)
	}
	during, err := c.Unitizations().Get(ctx, "users", metav1.GetOptions{})
	if err != nil || len(during.Status.Wanted) == 0 || during.Status.Ranges[0].Switchover != made.Name {
		t.Fatalf("while the switchover runs %+v, %v: want wanted cells and locks", during, err)
	}
	if again := apply(); again.ResourceVersion != during.ResourceVersion || !v1alpha1.StatusEqual(again, during) {
		t.Errorf("applied during the switchover: %+v\nwant %+v", again.Status, during.Status)
	}
	status := strings.Replace(string(mustJSON(t, users(t))), `"status":{}`, `"status":{"epoch":"9"}`, 1)
	a := s.do(t, admins(), "PATCH", api+"unitizations/users?fieldManager=gitops&force=true", asApply, status)
	if a.code != http.StatusOK || strings.Contains(a.body, `"epoch":"9"`) {
		t.Errorf("applied with a status: %d %s, want it ignored", a.code, a.body)
	}
	a = s.do(t, admins(), "PATCH", api+"unitizations/users/status", asMerge, `{"status":{"epoch":"9"}}`)
	if !a.says(http.StatusUnprocessableEntity, "status", "status is written by Pentad alone") {
		t.Errorf("patched status: %d %s, want a refusal", a.code, a.body)
	}
}

func mustJSON(t *testing.T, object v1alpha1.Object) []byte {
	t.Helper()
	encoded, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func TestDecisionsWithoutAnAnswer(t *testing.T) {
	e := newEstate(t, 1)
	s := serve(t, newAuthority(t), e.members[0])
	c, ctx := s.client(AdminGroup), t.Context()
	unitized(t, c)
	made, err := c.Switchovers().Create(ctx, evacuation(t), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	e.set(func(e *estate) { e.lose = errors.New("the leader is gone") })
	path, body := decision(made.Name, "approve", "planHash", made.Status.PlanHash)
	if a := s.do(t, admins(), "POST", path, asJSON, body); a.code != http.StatusGatewayTimeout ||
		!strings.Contains(a.body, "outcome unknown") {
		t.Errorf("%d %s, want 504: nobody knows", a.code, a.body)
	}
	e.set(func(e *estate) { e.lose = nil })
	approved, err := c.Switchovers().Approve(ctx, made.Name, made.Status.PlanHash)
	if err != nil || len(approved.Status.History) != 2 {
		t.Errorf("approved again: %+v, %v, want it approved once", approved, err)
	}
	e.set(func(e *estate) { e.refuse = ErrNoQuorum })
	if a := s.do(t, admins(), "POST", path, asJSON, body); a.code != http.StatusServiceUnavailable {
		t.Errorf("without a quorum: %d %s, want 503", a.code, a.body)
	}
}

// TestWatchersSeeWhatAnApprovalChanges: one entry, every object that it touches.
func TestWatchersSeeWhatAnApprovalChanges(t *testing.T) {
	s := serve(t, newAuthority(t), newEstate(t, 1).members[0])
	c, ctx := s.client(AdminGroup), t.Context()
	unitized(t, c)
	made, err := c.Switchovers().Create(ctx, evacuation(t), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	from := metav1.ListOptions{ResourceVersion: made.ResourceVersion}
	seen := map[string]func(context.Context, metav1.ListOptions) (watch.Interface, error){
		"unitizations": c.Unitizations().Watch, "stores": c.Stores().Watch, "switchovers": c.Switchovers().Watch,
	}
	if _, err := c.Switchovers().Approve(ctx, made.Name, made.Status.PlanHash); err != nil {
		t.Fatal(err)
	}
	for what, open := range seen {
		w, err := open(ctx, from)
		if err != nil {
			t.Fatal(err)
		}
		event, ok := <-w.ResultChan()
		if object, is := event.Object.(v1alpha1.Object); !ok || event.Type != watch.Modified || !is ||
			!strings.Contains(string(mustJSON(t, object)), made.Name) {
			t.Errorf("%s: %+v, want a change that names the switchover", what, event)
		}
		w.Stop()
	}
}
