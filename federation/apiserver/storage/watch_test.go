package storage

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/storage"
)

// watchSees says whether a watch shows a center that is created right after Watch returned; created is closed then. A
// bookmark that is not before the center says that the watch has passed it by.
func watchSees(t *testing.T, s *Storage, created chan<- struct{}) bool {
	t.Helper()
	no := false
	opts := storage.ListOptions{Recursive: true, Predicate: storage.Everything, SendInitialEvents: &no}
	opts.Predicate.AllowWatchBookmarks = true
	w, err := s.Watch(t.Context(), centersPrefix, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	at, _ := s.versioner.ObjectResourceVersion(create(t, s, "hz-a"))
	close(created)
	for {
		event := next(t, w)
		reached, err := s.versioner.ObjectResourceVersion(event.Object)
		if err != nil || event.Type != watch.Bookmark {
			return event.Type == watch.Added
		}
		if reached >= at {
			return false
		}
	}
}

func TestWatchStartsWhereItWasWhenWatchReturned(t *testing.T) {
	if !watchSees(t, newCenters(t, newReplica(t)), make(chan struct{})) {
		t.Error("a center created after Watch returned is not seen")
	}
	late, created := newCenters(t, newReplica(t)), make(chan struct{})
	late.planted.lateWatch = created
	if watchSees(t, late, created) {
		t.Error("a watch that starts late is not found")
	}
}

func watchFrom(t *testing.T, s *Storage, key, resourceVersion string) watch.Interface {
	t.Helper()
	opts := storage.ListOptions{
		Recursive: strings.HasSuffix(key, "/"), Predicate: storage.Everything, ResourceVersion: resourceVersion,
	}
	opts.Predicate.AllowWatchBookmarks = true
	w, err := s.Watch(t.Context(), key, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	return w
}

func next(t *testing.T, w watch.Interface) watch.Event {
	t.Helper()
	select {
	case event := <-w.ResultChan():
		return event
	case <-time.After(time.Minute):
		t.Fatal("no event")
		return watch.Event{}
	}
}

func wantGone(t *testing.T, event watch.Event) {
	t.Helper()
	status, ok := event.Object.(*metav1.Status)
	if event.Type != watch.Error || !ok || status.Reason != metav1.StatusReasonExpired {
		t.Errorf("event %s %v: want 410", event.Type, event.Object)
	}
}

func TestWatchFromForgottenHistoryIsGone(t *testing.T) {
	r := newReplica(t)
	s := newCenters(t, r)
	old := create(t, s, "hz-a")
	last := create(t, s, "hz-b")
	revision, _ := s.versioner.ParseResourceVersion(last.ResourceVersion)
	r.fsm.Compact(revision)
	wantGone(t, next(t, watchFrom(t, s, centersPrefix, old.ResourceVersion)))
	if event := next(t, watchFrom(t, s, centersPrefix, last.ResourceVersion)); event.Type != watch.Bookmark {
		t.Errorf("watch from what is remembered: %v, want a bookmark", event)
	}
}

func TestRestoredReplicaEndsWatches(t *testing.T) {
	r := newReplica(t)
	s := newCenters(t, r)
	last := create(t, s, "hz-a")
	w := watchFrom(t, s, centersPrefix, last.ResourceVersion)
	snapshot, err := r.fsm.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var bytes bytes.Buffer
	if _, err := snapshot.WriteTo(&bytes); err != nil {
		t.Fatal(err)
	}
	if err := r.fsm.Restore(&bytes); err != nil {
		t.Fatal(err)
	}
	for {
		if event := next(t, w); event.Type != watch.Bookmark {
			wantGone(t, event)
			return
		}
	}
}

func TestWatchOfOneObjectIsToldHowFarItCame(t *testing.T) {
	s := newCenters(t, newReplica(t))
	mine := create(t, s, "hz-a")
	create(t, s, "hz-b")
	w := watchFrom(t, s, centersPrefix+"hz-a", mine.ResourceVersion)
	stop := make(chan struct{})
	defer close(stop)
	go func() { // a kind that is never quiet
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				if relabel(context.Background(), s, "hz-b", fmt.Sprint(n)) != nil {
					return
				}
			}
		}
	}()
	start, _ := s.versioner.ParseResourceVersion(mine.ResourceVersion)
	event := next(t, w)
	reached, err := s.versioner.ObjectResourceVersion(event.Object)
	if err != nil || event.Type != watch.Bookmark || reached <= start {
		t.Errorf("event %s at %d, %v: want a bookmark beyond %d", event.Type, reached, err, start)
	}
}
