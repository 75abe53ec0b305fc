package feed

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"pentad.dev/pentad/federation/feed/feedpb"
)

func files(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestRemovedFeedLeavesMemoryAndDiskAndReadersNotice(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	l := s.Log("c/x")
	l.Begin(5, []Change{change("a", "1")})
	l.Resign()
	if err := s.Save("c/x"); err != nil {
		t.Fatal(err)
	}
	watch, cursor := s.Watch(), l.Cursor(l.Position())
	watch.Changed()
	<-cursor.Wake()
	if err := s.Remove("c/x"); err != nil {
		t.Fatal(err)
	}
	<-cursor.Wake()
	if b, ok := cursor.Next(); !ok || !b.Reset || len(b.Records) > 0 || !l.Removed() {
		t.Errorf("the cursor yields %s, %t, or the log does not say that it was removed", show(b), ok)
	}
	if _, ok := cursor.Next(); ok {
		t.Error("the cursor yields more")
	}
	if ids := watch.Changed(); len(ids) != 1 || ids[0] != "c/x" {
		t.Errorf("the watch names %v", ids)
	}
	if _, ok := s.Get("c/x"); ok || len(s.IDs()) != 0 {
		t.Error("it is in memory")
	}
	if _, err := l.Begin(9, nil); !errors.Is(err, ErrRemoved) {
		t.Errorf("begin: %v", err)
	}
	if _, err := l.Commit(change("a", "2")); !errors.Is(err, ErrNotWriter) {
		t.Errorf("commit: %v", err)
	}
	if got := files(t, dir); got != "c%2Fx.removed" {
		t.Errorf("on disk: %s", got)
	}
	if err := errors.Join(s.Remove("c/x"), s.Remove("never/was")); err != nil {
		t.Errorf("what is not there: %v", err)
	}
	if got := files(t, dir); got != "c%2Fx.removed" {
		t.Errorf("on disk: %s", got)
	}
	back := s.Log("c/x")
	if _, ok := cursor.Next(); ok {
		t.Error("the cursor yields before the feed is back")
	}
	if _, err := back.Begin(9, []Change{change("b", "1")}); err != nil {
		t.Fatal(err)
	}
	<-cursor.Wake()
	if b, ok := cursor.Next(); !ok || !b.Reset || len(b.Records) != 1 || b.To != back.Position() {
		t.Errorf("when the feed is back the cursor yields %s, %t", show(b), ok)
	}
	cursor.Close()
	if len(back.cursors) != 0 {
		t.Error("the cursor is not closed")
	}
}

// TestRemovedFeedDoesNotComeBackOlder removes a feed at one server while another still holds it, over restarts; it comes
// back above what it was, and its mark goes from the disk then.
func TestRemovedFeedDoesNotComeBackOlder(t *testing.T) {
	if !removalHolds(t, 0) {
		t.Error("it came back as it was")
	}
	if removalHolds(t, removalForgotten) {
		t.Error("planted: a removal that keeps no position is not found")
	}
}

func removalHolds(t *testing.T, broken breakage) bool {
	t.Helper()
	dir := t.TempDir()
	s, err := OpenSet(dir, Options{broken: broken})
	if err != nil {
		t.Fatal(err)
	}
	w := &wired{t: t, from: memory(t), to: s}
	l := w.from.Log("c/x")
	l.Begin(5, []Change{change("a", "1"), change("b", "1")})
	follow := func() {
		w.connect()
		w.r.open("c/x", Filter{})
		w.settle()
	}
	follow()
	if !equal(l, s) {
		t.Fatal("not copied")
	}
	if err := errors.Join(s.Save("c/x"), s.Remove("c/x")); err != nil {
		t.Fatal(err)
	}
	w.settle() // the open stream notices
	follow()
	if equal(l, s) {
		return false
	}
	if s, err = OpenSet(dir, Options{broken: broken}); err != nil { // a restart
		t.Fatal(err)
	}
	w.to = s
	follow()
	if equal(l, s) {
		return false
	}
	if h := l.Highest(); h != (Position{5, 2}) {
		t.Errorf("the writer hears of %s", h)
	}
	l.Begin(6, []Change{change("b", "2")})
	w.settle()
	if !equal(l, s) {
		t.Error("published again, it does not come back")
	}
	if err := s.Save("c/x"); err != nil {
		t.Fatal(err)
	}
	if got := files(t, dir); got != "c%2Fx.feed" {
		t.Errorf("on disk: %s", got)
	}
	return true
}

func TestRemovalThatIsCutOffIsEndedAtTheNextStart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	s.Log("c/x").Begin(5, []Change{change("a", "1")})
	if err := s.Save("c/x"); err != nil {
		t.Fatal(err)
	}
	snapshot, err := os.ReadFile(filepath.Join(dir, "c%2Fx.feed"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Remove("c/x"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "c%2Fx.feed"), snapshot, 0o600); err != nil {
		t.Fatal(err)
	}
	if s = open(t, dir, nil); len(s.IDs()) != 0 {
		t.Error("it is there again")
	}
	if got := files(t, dir); got != "c%2Fx.removed" {
		t.Errorf("on disk: %s", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "c%2Fx.removed"), snapshot, 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir, nil)
	if got := files(t, dir); got != "c%2Fx.removed.corrupt" {
		t.Errorf("on disk: %s", got)
	}
}

// TestRemovalAtTheHomeAndAfterwards removes a feed at a server while its writer publishes it and a relay reads it there.
func TestRemovalAtTheHomeAndAfterwards(t *testing.T) {
	var withdrawn atomic.Bool
	a := startServer(t, memory(t), "127.0.0.1:0", func(c *ServiceConfig) {
		c.Authorize = func(context.Context, ID) error {
			if withdrawn.Load() {
				return errors.New("cluster c was withdrawn")
			}
			return nil
		}
	})
	relay := memory(t)
	follow(t, relay, a)
	set, l := agent(t, change("a", "1"))
	pub := publishWith(t, PublisherConfig{Set: set, One: peersOf(a), OnAhead: func(_ ID, p Position) {
		l.Begin(NextIncarnation(0, 0, p.Incarnation, 5), []Change{change("a", "2")})
	}})
	eventually(t, "all hold it", func() bool { return equal(l, a.set, relay) })
	withdrawn.Store(true)
	if err := a.set.Remove(l.ID()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the writer hears of it", func() bool {
		s := pub.Status()[0]
		return len(s.Feeds) == 1 && strings.Contains(s.Feeds[0].Refused, "withdrawn")
	})
	if _, ok := a.set.Get(l.ID()); ok {
		t.Error("it is there")
	}
	if c, ok := relay.Get(l.ID()); !ok || c.Len() != 1 {
		t.Error("the relay let go of it")
	}
	if ended := a.set.Ended(); len(ended) != 1 || ended[0] != l.ID() {
		t.Errorf("ended are %v", ended)
	}
	withdrawn.Store(false)
	at := l.Position()
	a.service.Reconsider(func(id ID) bool { return id == l.ID() })
	eventually(t, "it is back without a change, above what it was", func() bool {
		return equal(l, a.set, relay) && at.Incarnation < l.Position().Incarnation
	})
	if ended := a.set.Ended(); len(ended) != 0 {
		t.Errorf("ended are %v", ended)
	}
	was := l.Position()
	if err := a.set.Remove(l.ID()); err != nil { // by mistake: the writer is there and may write
		t.Fatal(err)
	}
	var home *Log
	eventually(t, "it is back at once, above what it was, and the server is its home", func() (ok bool) {
		home, ok = a.set.Get(l.ID())
		return ok && home.Home() && was.Incarnation < l.Position().Incarnation && equal(l, a.set, relay)
	})
	if err := set.Remove(l.ID()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a writer that removes its feed has withdrawn it", func() bool { return !home.Home() })
}

// TestRemovalWhileALaterCopyComes: what was removed is not what a peer holds, which is later and at rest. It is had again
// from there without the peer saying it once more.
func TestRemovalWhileALaterCopyComes(t *testing.T) {
	a := startServer(t, memory(t), "127.0.0.1:0")
	l := a.set.Log("c/x")
	l.Begin(5, []Change{change("a", "1")})
	old := memory(t)
	var removed atomic.Bool
	reader, err := OpenSet("", Options{tamper: func(*receiver, *incoming, *feedpb.Frame) bool {
		if removed.CompareAndSwap(false, true) {
			if err := old.Remove("c/x"); err != nil {
				t.Error(err)
			}
		}
		return false
	}})
	if err != nil {
		t.Fatal(err)
	}
	old = reader
	earlier := old.Log("c/x")
	earlier.Begin(4, []Change{change("a", "0")})
	earlier.Resign()
	follow(t, old, a)
	eventually(t, "the later copy", func() bool { return removed.Load() && equal(l, old) })
}
