package storage

import (
	"strconv"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/storage"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent/intentpb"
)

// counted lets writers at a leader and at a follower that lags count up one label, and says how far they came.
func counted(t *testing.T, leader *replica, writers, each int) int {
	t.Helper()
	f := newFollower(t, leader)
	at := []*Storage{newCenters(t, f), newCenters(t, leader)}
	create(t, at[0], "hz-a")
	var writing sync.WaitGroup
	for n := range writers {
		writing.Go(func() {
			for range each {
				err := patiently(func() error {
					return at[n%2].GuaranteedUpdate(t.Context(), centersPrefix+"hz-a", &v1alpha1.Center{}, false, nil,
						storage.SimpleUpdate(func(obj runtime.Object) (runtime.Object, error) {
							center := obj.(*v1alpha1.Center)
							was, _ := strconv.Atoi(center.Labels["n"])
							center.Labels = map[string]string{"n": strconv.Itoa(was + 1)}
							return center, nil
						}), nil)
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writing.Wait()
	out := &v1alpha1.Center{}
	if err := at[1].Get(t.Context(), centersPrefix+"hz-a", storage.GetOptions{}, out); err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(out.Labels["n"])
	return n
}

func TestNoUpdateIsLost(t *testing.T) {
	const writers, each = 8, 25
	if n := counted(t, newReplica(t), writers, each); n != writers*each {
		t.Errorf("counted to %d, want %d", n, writers*each)
	}
	careless := newReplica(t) // a log that takes every write for the newest
	careless.propose = func(c *intentpb.Command) error {
		if update := c.GetUpdate(); update != nil {
			if object, found := careless.fsm.View().Get(update.GetKind(), update.GetName()); found {
				update.ExpectRevision = object.Revision
			}
		}
		return nil
	}
	if n := counted(t, careless, writers, each); n == writers*each {
		t.Error("writes that overwrite each other are not found")
	}
}
