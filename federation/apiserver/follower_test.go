package apiserver

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"pentad.dev/pentad/client"
	"pentad.dev/pentad/crds/v1alpha1"
)

func TestApplyThroughAFollower(t *testing.T) {
	a, e := newAuthority(t), newEstate(t, 2)
	leader, follower := serve(t, a, e.members[0]), serve(t, a, e.members[1])
	e.members[1].set(20*time.Millisecond, false)
	c := follower.client(AdminGroup)
	options := metav1.ApplyOptions{FieldManager: "test"}
	if _, err := c.Centers().Apply(t.Context(), center("hz-a", "hangzhou"), options); err != nil {
		t.Fatal(err)
	}
	// The follower's replica has no center yet: it must catch up before it refuses the cluster.
	vm, err := c.Clusters().Apply(t.Context(), cluster("vm", "hz-a"), options)
	if err != nil || vm.Status.Region != "hangzhou" {
		t.Fatalf("%+v, %v: want the center's region", vm, err)
	}
	policy := &v1alpha1.ServicePolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "orders"}, Spec: v1alpha1.ServicePolicySpec{Service: "orders"},
	}
	first, err := c.ServicePolicies().Apply(t.Context(), policy, options)
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.ServicePolicies().Apply(t.Context(), policy, options)
	if err != nil || again.ResourceVersion != first.ResourceVersion {
		t.Errorf("applied again: %s after %s, %v: want nothing written", again.ResourceVersion, first.ResourceVersion, err)
	}
	_, err = leader.client(AdminGroup).ServicePolicies().Apply(t.Context(), &v1alpha1.ServicePolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "orders"},
		Spec: v1alpha1.ServicePolicySpec{
			Service: "orders", Failover: []v1alpha1.FailoverTier{{Scope: v1alpha1.ScopeAny}},
		},
	}, metav1.ApplyOptions{FieldManager: "other"})
	if err != nil {
		t.Fatalf("another manager adds a field: %v", err)
	}
	got, err := c.ServicePolicies().Get(t.Context(), "orders", metav1.GetOptions{})
	if err != nil || len(got.Spec.Failover) != 1 || got.Generation != 2 || got.Status.ObservedGeneration != 2 {
		t.Errorf("read at the follower: %+v, %v: want what the leader was told", got, err)
	}
	if err := c.Centers().Delete(t.Context(), "hz-a", metav1.DeleteOptions{}); !apierrors.IsInvalid(err) ||
		!strings.Contains(err.Error(), `cluster "vm" is in this center`) {
		t.Errorf("delete of a center with a cluster: %v", err)
	}
	if err := leader.client(AdminGroup).Clusters().Delete(t.Context(), "vm", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Centers().Delete(t.Context(), "hz-a", metav1.DeleteOptions{}); err != nil {
		t.Errorf("delete at a follower that still has the cluster: %v", err)
	}
}

func TestWhatNeitherKnowsIsRefusedTwice(t *testing.T) {
	a, e := newAuthority(t), newEstate(t, 2)
	follower := serve(t, a, e.members[1])
	c := serve(t, a, e.members[0]).client(AdminGroup)
	_, err := c.Clusters().Create(t.Context(), cluster("vm", "nope"), metav1.CreateOptions{})
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), `spec.center: Not found: "nope"`) {
		t.Errorf("unknown center at the API: %v", err)
	}
	if _, err := c.Centers().Create(t.Context(), center("hz-a", "hangzhou"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := e.members[1].fsm.WaitRevision(t.Context(), e.members[0].fsm.Revision()); err != nil {
		t.Fatal(err)
	}
	e.members[1].set(0, true) // the follower believes for ever that there is a center
	if err := c.Centers().Delete(t.Context(), "hz-a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err = follower.client(AdminGroup).Clusters().Create(t.Context(), cluster("vm", "hz-a"), metav1.CreateOptions{})
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), `spec.center: Not found: "hz-a"`) {
		t.Errorf("center that only the replica has: %v, want the state machine's refusal", err)
	}
}

func TestNoQuorum(t *testing.T) {
	a, e := newAuthority(t), newEstate(t, 1)
	s := serve(t, a, e.members[0])
	c := s.client(AdminGroup)
	if _, err := c.Centers().Create(t.Context(), center("hz-a", "hangzhou"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	e.set(func(e *estate) { e.refuse, e.silent = ErrNoQuorum, true })
	refused := s.do(t, admins(), "POST", api+"centers", asJSON, centerJSON(`"name":"hz-b"`))
	if refused.code != 503 || refused.status.Reason != metav1.StatusReasonServiceUnavailable ||
		!strings.Contains(refused.status.Message, "nothing was written: no quorum") {
		t.Errorf("create: %d %s", refused.code, refused.body)
	}
	got := s.do(t, admins(), "GET", api+"centers/hz-a", asJSON, "")
	if got.code != 503 || !strings.Contains(got.status.Message, "no leader answered within 1s") ||
		!strings.Contains(got.status.Message, "resourceVersion=0") {
		t.Errorf("get: %d %s", got.code, got.body)
	}
	e.set(func(e *estate) {
		if e.patience > time.Second {
			t.Errorf("get: waits %s for a leader", e.patience)
		}
	})
	if _, err := c.Centers().Get(t.Context(), "hz-a", metav1.GetOptions{ResourceVersion: "0"}); err != nil {
		t.Errorf("stale get: %v", err)
	}
	list, err := c.Centers().List(t.Context(), metav1.ListOptions{ResourceVersion: "0"})
	if err != nil || len(list.Items) != 1 {
		t.Errorf("stale list: %v, %v", list, err)
	}
	w, err := c.Centers().Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		t.Fatalf("watch: %v", err)
	}
	defer w.Stop()
	e.set(func(e *estate) { e.refuse, e.silent = nil, false })
	if _, err := c.Centers().Create(t.Context(), center("hz-b", "hangzhou"), metav1.CreateOptions{}); err != nil {
		t.Fatalf("with a quorum again: %v", err)
	}
	if event := <-w.ResultChan(); event.Type != watch.Added || event.Object.(*v1alpha1.Center).Name != "hz-b" {
		t.Errorf("watch: %+v", event)
	}
}

func TestLostAnswerIsSaid(t *testing.T) {
	a, e := newAuthority(t), newEstate(t, 1)
	c := serve(t, a, e.members[0]).client(AdminGroup)
	e.set(func(e *estate) { e.lose = errors.New("leader lost before it answered") })
	_, err := c.Centers().Create(t.Context(), center("hz-a", "hangzhou"), metav1.CreateOptions{})
	if !errors.Is(err, client.ErrOutcomeUnknown) {
		t.Errorf("create: %v, want outcome unknown", err)
	}
	e.set(func(e *estate) { e.lose = nil })
	if _, err := c.Centers().Get(t.Context(), "hz-a", metav1.GetOptions{}); err != nil {
		t.Errorf("it was done: %v", err)
	}
	e.set(func(e *estate) { e.lose, e.loseOnce = errors.New("leader lost before it answered"), true })
	_, err = c.Centers().Apply(t.Context(), center("hz-b", "hangzhou"), metav1.ApplyOptions{FieldManager: "test"})
	if err != nil {
		t.Errorf("apply is repeated: %v", err)
	}
	e.set(func(e *estate) {
		if e.lose != nil {
			t.Error("apply: no answer was lost")
		}
	})
}

func TestWatchGoesOnAtAnotherServer(t *testing.T) {
	a, e := newAuthority(t), newEstate(t, 2)
	first, second := serve(t, a, e.members[0]), serve(t, a, e.members[1])
	admin := first.client(AdminGroup)
	made, err := admin.Centers().Create(t.Context(), center("c-0", "hangzhou"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	version := made.ResourceVersion
	for _, s := range []*served{first, second} {
		w, err := s.client(ViewerGroup).Centers().Watch(t.Context(), metav1.ListOptions{ResourceVersion: version})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a-", "b-"} {
			name += strings.ReplaceAll(version[len(version)-3:], "-", "")
			if _, err := admin.Centers().Create(t.Context(), center(name, "hangzhou"), metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			event := <-w.ResultChan()
			got, ok := event.Object.(*v1alpha1.Center)
			if !ok || event.Type != watch.Added || got.Name != name {
				t.Fatalf("event %+v, want %s added", event, name)
			}
			version = got.ResourceVersion
		}
		w.Stop()
	}
}

func TestClientGoesOnAtAnotherServer(t *testing.T) {
	a, e := newAuthority(t), newEstate(t, 3)
	servers := []*served{serve(t, a, e.members[0]), serve(t, a, e.members[1]), serve(t, a, e.members[2])}
	c := clientOf(a, servers, AdminGroup)
	for n, s := range servers {
		name := string(rune('a' + n))
		_, err := c.Centers().Create(t.Context(), center(name, "hangzhou"), metav1.CreateOptions{})
		if errors.Is(err, client.ErrOutcomeUnknown) { // it went into a connection whose end was not seen yet
			if _, err = c.Centers().Get(t.Context(), name, metav1.GetOptions{}); apierrors.IsNotFound(err) {
				_, err = c.Centers().Create(t.Context(), center(name, "hangzhou"), metav1.CreateOptions{})
			}
		}
		if err != nil {
			t.Fatalf("with %d servers stopped: %v", n, err)
		}
		if n < len(servers)-1 {
			s.stop()
		}
	}
	list, err := c.Centers().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 3 {
		t.Errorf("list %v, %v: want 3 centers", list, err)
	}
}

// A write is answered with what the leader applied: the follower that passed it on need not have applied it (rule 3 of
// intent).
func TestAWriteIsAnsweredBeforeTheFollowerHasIt(t *testing.T) {
	a, e := newAuthority(t), newEstate(t, 2)
	follower := serve(t, a, e.members[1])
	e.members[1].set(0, true)
	before := e.members[1].fsm.Revision()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	made, err := follower.client(AdminGroup).Centers().Create(ctx, center("hz-a", "hangzhou"), metav1.CreateOptions{})
	if err != nil || made.ResourceVersion == "" || made.UID == "" {
		t.Fatalf("%+v, %v", made, err)
	}
	if at := e.members[1].fsm.Revision(); at != before {
		t.Errorf("the follower went from revision %d to %d: it was to be paused", before, at)
	}
}
