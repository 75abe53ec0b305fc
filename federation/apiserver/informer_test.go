package apiserver

import (
	"bytes"
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"pentad.dev/pentad/crds/v1alpha1"
)

// TestInformerListsAgainAfterARestore: a snapshot that replaces the state drops the history; an informer must not
// miss what came with it.
func TestInformerListsAgainAfterARestore(t *testing.T) {
	a, e := newAuthority(t), newEstate(t, 2)
	leader, follower := serve(t, a, e.members[0]), serve(t, a, e.members[1])
	admin, viewer := leader.client(AdminGroup), follower.client(ViewerGroup)
	if _, err := admin.Centers().Create(t.Context(), center("before", "hangzhou"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	store, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ObjectType: &v1alpha1.Center{},
		Handler:    cache.ResourceEventHandlerFuncs{},
		ListerWatcher: &cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				return viewer.Centers().List(ctx, o)
			},
			WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				return viewer.Centers().Watch(ctx, o)
			},
		},
	})
	done := make(chan struct{})
	go func() { defer close(done); informer.RunWithContext(ctx) }()
	defer func() { cancel(); <-done }()
	wait(t, store, "before")
	e.members[1].set(0, true)
	if _, err := admin.Centers().Create(t.Context(), center("missed", "hangzhou"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	snapshot, err := e.members[0].fsm.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := snapshot.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if err := e.members[1].fsm.Restore(&b); err != nil {
		t.Fatal(err)
	}
	wait(t, store, "missed")
}

func wait(t *testing.T, store cache.Store, name string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if _, found, _ := store.GetByKey(name); found {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("the informer never had %s", name)
}
