package feed

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLabelTellsWhichOfTwoOfOneNameACopyIsOf is the story that labels are for: a server is down while what a feed is of is
// deleted and declared anew, and nobody writes it any more. It starts with the old copy, above what the others removed, and
// they take it from there; each can tell by the label, and removes it.
func TestLabelTellsWhichOfTwoOfOneNameACopyIsOf(t *testing.T) {
	if !labelTells(t, 0) {
		t.Error("the old copy stays")
	}
	for rule, broken := range map[string]breakage{"not in the snapshot": labelNotSaved, "not with a reset": labelNotTaken} {
		if labelTells(t, broken) {
			t.Errorf("planted: a label that is %s is not found", rule)
		}
	}
}

func labelTells(t *testing.T, broken breakage) bool {
	t.Helper()
	dir := t.TempDir()
	start := func(dir string) *Set {
		set, err := OpenSet(dir, Options{broken: broken})
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	label := func(set *Set, label string) {
		l, _ := set.Get("c/x")
		if err := l.SetLabel(label); err != nil {
			t.Fatal(err)
		}
	}
	follows := func(w *wired) {
		w.connect()
		w.r.open("c/x", Filter{})
		w.settle()
	}
	agent, down, up := memory(t), start(dir), start("")
	l := agent.Log("c/x")
	l.Begin(5, []Change{change("a", "1")})
	for _, server := range []*Set{down, up} {
		follows(&wired{t: t, from: agent, to: server})
		label(server, "first")
	}
	l.Commit(change("a", "2")) // the link to the one that stays up is cut
	follows(&wired{t: t, from: agent, to: down})
	if copied, _ := down.Get("c/x"); copied.Label() != "first" {
		t.Fatalf("a delta changed the label to %q", copied.Label())
	}
	if err := errors.Join(down.Save("c/x"), up.Remove("c/x")); err != nil {
		t.Fatal(err)
	}
	down = start(dir)
	follows(&wired{t: t, from: down, to: up})
	tells := true
	for _, server := range []*Set{down, up} {
		copied, ok := server.Get("c/x")
		if !ok || copied.Len() != 1 {
			t.Fatal("the story is another one: no copy")
		}
		tells = tells && copied.Label() == "first" && copied.Stale()
	}
	return tells
}

func TestLabelOfTheWritersOwnSetIsTheReceivers(t *testing.T) {
	w := wire(t, Options{})
	l := w.from.Log("c/x")
	l.Begin(5, []Change{change("a", "1")})
	copied := w.to.Log("c/x")
	copied.SetLabel("first")
	w.connect()
	w.r.open("c/x", Filter{})
	w.settle()
	if copied.Label() != "" {
		t.Errorf("after the writer's reset: %q", copied.Label())
	}
	copied.SetLabel("second")
	l.Commit(change("a", "2"))
	w.settle()
	if copied.Label() != "second" || !equal(l, w.to) {
		t.Errorf("after a delta: %q", copied.Label())
	}
	if err := copied.SetLabel(strings.Repeat("x", maxLabel+1)); !errors.Is(err, ErrTooLarge) || copied.Label() != "second" {
		t.Errorf("too long: %v, %q", err, copied.Label())
	}
}

// TestLabelIsSavedThoughNothingElseChanges, by Run and by Save, and wakes no reader of the content.
func TestLabelIsSavedThoughNothingElseChanges(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	l := s.Log("c/x")
	l.Begin(1, []Change{change("a", "1")})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	label := func() string {
		if r := saved(t, dir); r != nil {
			return r.Label()
		}
		return "not there"
	}
	eventually(t, "the content is on disk", func() bool { return label() == "" })
	cursor, watch := l.Cursor(l.Position()), s.Watch()
	<-cursor.Wake()
	watch.Changed()
	<-watch.C()
	l.SetLabel("one")
	eventually(t, "the label is on disk", func() bool { return label() == "one" })
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	select {
	case <-cursor.Wake():
		t.Error("a reader was woken")
	case <-watch.C():
		t.Error("a watch was woken")
	default:
	}
	l.SetLabel("two")
	if err := s.Save("c/x"); err != nil || label() != "two" {
		t.Errorf("saved: %q, %v", label(), err)
	}
}

// TestSnapshotsOfTheFirstVersionAreRead: they had no label.
func TestSnapshotsOfTheFirstVersionAreRead(t *testing.T) {
	dir := t.TempDir()
	old, err := os.ReadFile(filepath.Join("testdata", "version1.feed"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "c%2Fx.feed"), old, 0o600); err != nil {
		t.Fatal(err)
	}
	l, ok := open(t, dir, nil).Get("c/x")
	if !ok || l.Position() != (Position{1, 2}) || l.Len() != 1 || l.Status().Tombstones != 1 || l.Label() != "" {
		t.Errorf("read %v, %t", l, ok)
	}
}
