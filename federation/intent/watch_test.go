package intent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"pentad.dev/pentad/crds/v1alpha1"
)

func TestWatchFromAnyRetainedRevision(t *testing.T) {
	for seed := range uint64(8) {
		if err := watched(seed, Config{History: 10}, 300); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func TestSlowWatchIsToldThatItFellOut(t *testing.T) {
	e := newEstate(t, Config{History: 4})
	e.add(center("a", "hangzhou", ""))
	cursor, err := e.Watch("Center", e.Revision())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		e.add(center(fmt.Sprintf("b%d", i), "hangzhou", ""))
	}
	if _, _, err := cursor.Next(t.Context(), nil); !errors.Is(err, ErrCompacted) {
		t.Errorf("error is %v, want ErrCompacted", err)
	}
}

func TestWatchOfTheFutureWaits(t *testing.T) {
	e := newEstate(t, Config{})
	for i := range 100 {
		e.add(center(fmt.Sprintf("c%d", i), "hangzhou", ""))
	}
	from := e.Revision() + 90
	cursor, err := e.Watch("Center", from)
	if err != nil {
		t.Fatal(err)
	}
	if events, revision, err := drain(cursor); len(events) > 0 || revision != from || err != nil {
		t.Errorf("at first: %d changes, revision %d, %v", len(events), revision, err)
	}
	for i := range 92 {
		e.add(center(fmt.Sprintf("d%d", i), "hangzhou", ""))
	}
	events, revision, err := drain(cursor)
	if len(events) != 2 || events[0].Revision != from+1 || revision != from+2 || err != nil {
		t.Errorf("then: %d changes, revision %d, %v", len(events), revision, err)
	}
}

func TestCompactIsForAllKinds(t *testing.T) {
	e := populated(t)
	e.Compact(e.Revision())
	for _, kind := range v1alpha1.Kinds() {
		if _, err := e.Watch(kind, e.Revision()-1); !errors.Is(err, ErrCompacted) {
			t.Errorf("%s: error is %v, want ErrCompacted", kind, err)
		}
		if _, err := e.Watch(kind, e.Revision()); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if _, err := e.Watch("Nothing", 1); err == nil {
		t.Error("a watch of an unknown kind was opened")
	}
}

// TestReadersWhileCommandsGoOn is for the race detector, and shows that woken watchers see everything.
func TestReadersWhileCommandsGoOn(t *testing.T) {
	e := newEstate(t, Config{History: 10_000})
	e.add(center("first", "hangzhou", ""))
	start := e.Revision()
	const changes = 500
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var readers sync.WaitGroup
	for range 4 {
		cursor, err := e.Watch("Center", start)
		if err != nil {
			t.Fatal(err)
		}
		readers.Go(func() {
			for n := uint64(0); n < changes; {
				events, _, err := cursor.Next(ctx, nil)
				if err != nil {
					t.Error(err)
					return
				}
				for _, event := range events {
					n++
					if event.Revision != start+n {
						t.Errorf("change %d has revision %d, want %d", n, event.Revision, start+n)
						return
					}
				}
			}
		})
		readers.Go(func() {
			for i := uint64(1); i <= changes; i += 7 {
				if err := e.WaitRevision(ctx, start+i); err != nil {
					t.Error(err)
					return
				}
				view := e.View()
				if at := e.Feed().Position().Seq; at < view.Revision() {
					t.Errorf("the view is at %d, the feed still at %d", view.Revision(), at)
				}
				if _, err := e.ViewAt("Center", view.Revision()); err != nil {
					t.Error(err)
				}
				save(e.FSM)
			}
		})
	}
	for i := range changes {
		e.add(center(fmt.Sprintf("c%d", i), "hangzhou", ""))
	}
	readers.Wait()
	if err := e.WaitIndex(ctx, e.index); err != nil {
		t.Error(err)
	}
	done, stop := context.WithCancel(ctx)
	stop()
	if err := e.WaitIndex(done, e.index+1); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for an index that does not come ended with %v", err)
	}
}
