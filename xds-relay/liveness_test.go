package relay

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
)

// expire has the intent say that a cluster has expired, or not any more.
func (h *held) expire(t *testing.T, cluster string, expired bool) {
	t.Helper()
	change := feed.Change{Kind: model.KindLiveness, Key: cluster}
	if expired {
		value, err := model.Encode(&modelpb.Liveness{Cluster: cluster, State: modelpb.LivenessState_LIVENESS_STATE_EXPIRED})
		if err != nil {
			t.Fatal(err)
		}
		change.Value = value
	}
	if _, err := intentLog(t, h).Commit(change); err != nil {
		t.Fatal(err)
	}
}

// history are the different endpoints that were shown, in order, until ctx ends.
func history(t *testing.T, resources *feed.Log) func() []string {
	cursor := resources.Cursor(feed.Position{})
	var mu sync.Mutex
	var shown []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cursor.Close()
		for {
			for _, ok := cursor.Next(); ok; _, ok = cursor.Next() {
				mu.Lock()
				if now := ports(t, resources); len(shown) == 0 || shown[len(shown)-1] != now {
					shown = append(shown, now)
				}
				mu.Unlock()
			}
			select {
			case <-t.Context().Done():
				return
			case <-cursor.Wake():
			}
		}
	}()
	t.Cleanup(func() { <-done })
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(shown)
	}
}

func TestAnExpiredClusterIsDemotedBeforeItIsWithdrawnAndBackWhenItIsHeard(t *testing.T) {
	h := newHeld(t)
	h.orders(t, "hz-a-vm", 1)
	far := h.orders(t, "sh-a-vm", 2)
	p, resources := run(t, h)
	show := func() string { return ports(t, resources) }
	eventually(t, "1/2", show)
	shown := history(t, resources)

	h.expire(t, "sh-a-vm", true) // by a quorum that hears less than this relay
	eventually(t, fmt.Sprint(intentLog(t, h).Position().Seq), func() string { return fmt.Sprint(p.rendered()) })
	if got := show(); got != "1/2" {
		t.Fatalf("a cluster that this relay hears was withdrawn: %q", got)
	}
	far.Resign()
	eventually(t, "1", show)
	var s Status
	if p.report(&s); !slices.Equal(s.Withdrawn, []string{"sh-a-vm"}) || !slices.Equal(s.Silent, []string{"sh-a-vm"}) {
		t.Errorf("status: silent %q, withdrawn %q", s.Silent, s.Withdrawn)
	}
	h.orders(t, "sh-a-vm", 3) // before any quorum takes the expiry back
	eventually(t, "1/3", show)
	h.expire(t, "sh-a-vm", false)
	if got := shown(); slices.Contains(got, "") {
		t.Errorf("shown: %q", got)
	}
}

func TestARelaysOwnClusterIsNeverWithdrawn(t *testing.T) {
	h := newHeld(t)
	own := h.orders(t, "hz-a-vm", 1)
	h.orders(t, "sh-a-vm", 2)
	_, resources := run(t, h)
	show := func() string { return ports(t, resources) }
	h.expire(t, "hz-a-vm", true)
	own.Resign()
	eventually(t, "2/1", show)
	h.expire(t, "sh-a-vm", true)
	eventually(t, "2/1", show)
}

func TestAnExpiredClusterStaysWithdrawnAcrossARestartAndASilentOneComesBackLive(t *testing.T) {
	dir := t.TempDir()
	h := newHeldIn(t, dir)
	h.orders(t, "hz-a-vm", 1)
	h.orders(t, "sh-a-vm", 2)
	h.expire(t, "sh-a-vm", true)
	for _, id := range h.set.IDs() {
		if err := h.set.Save(id); err != nil {
			t.Fatal(err)
		}
	}

	set, err := feed.OpenSet(dir, feed.Options{})
	if err != nil {
		t.Fatal(err)
	}
	again := &held{set: set}
	resources := feed.NewLog(resourcesID, feed.Filter{}, feed.Options{})
	shown := history(t, resources)
	runInto(t, again, resources)
	show := func() string { return ports(t, resources) }
	eventually(t, "1", show)
	time.Sleep(2 * judgeEvery)
	again.orders(t, "sh-a-vm", 3)
	eventually(t, "3/1", show) // by now nothing was heard of the other one
	if got := shown(); got[0] != "1" {
		t.Errorf("shown: %q: the expired cluster was back before it was heard of", got)
	}
}

func TestAnExpiredClusterIsNotShownForAnInstantWhenItsFeedComesLast(t *testing.T) {
	h := newHeld(t)
	h.orders(t, "hz-a-vm", 1)
	h.expire(t, "sh-a-vm", true)
	p, resources := run(t, h)
	eventually(t, "1", func() string { return ports(t, resources) })
	shown := history(t, resources)

	elsewhere := newHeld(t)
	elsewhere.orders(t, "sh-a-vm", 2)
	copied := feed.NewLog(model.FeedID("sh-a-vm", "static"), feed.Filter{}, feed.Options{})
	whole, _ := mustGet(t, elsewhere, "sh-a-vm/static").Picture()
	var changes []feed.Change
	for _, r := range whole {
		changes = append(changes, feed.Change{Kind: r.Kind, Key: r.Key, Value: r.Value})
	}
	if _, err := copied.Begin(1<<50, changes); err != nil {
		t.Fatal(err)
	}
	copied.Resign()
	p.mu.Lock()
	p.silentAfter = 0 // it was heard of once, and is not now
	p.mu.Unlock()
	h.set.Add(copied)
	for range 3 {
		time.Sleep(judgeEvery)
	}
	if got := shown(); slices.Contains(got, "1/2") || slices.Contains(got, "2") {
		t.Errorf("shown: %q", got)
	}
}

func mustGet(t *testing.T, h *held, id feed.ID) *feed.Log {
	t.Helper()
	l, ok := h.set.Get(id)
	if !ok {
		t.Fatalf("no feed %s", id)
	}
	return l
}
