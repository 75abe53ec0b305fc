package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func open(t *testing.T, dir string, log *bytes.Buffer) *Set {
	t.Helper()
	o := Options{SaveInterval: time.Millisecond}
	if log != nil {
		o.Log = slog.New(slog.NewTextHandler(log, nil))
	}
	s, err := OpenSet(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// saved is feed c/x as a set that runs has it on disk, nil while it is not there: only one set may open a folder.
func saved(t *testing.T, dir string) *Log {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "c%2Fx.feed"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := readSnapshot(f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestSetStartsFromDiskWithAllOfIt(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	l := s.LogFiltered("c/x", NewFilter([]string{"k"}, nil))
	l.opts.Tombstones.MaxCount = 1
	l.Begin(5, []Change{change("a", "1"), change("b", "1"), change("c", ""), change("d", "1")})
	l.Commit(gone("a"))
	l.Commit(gone("b"))
	l.Commit(change("d", "2"))
	volatile := NewLog(IntentID, Filter{}, Options{})
	volatile.CommitAt(Position{1, 1})
	s.Add(volatile)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
	r, ok := open(t, dir, nil).Get("c/x")
	if !ok {
		t.Fatal("not there")
	}
	if !r.Stale() || r.Position() != l.Position() || r.Floor() != l.Floor() || !r.Filter().Equal(l.Filter()) ||
		r.Digest() != l.Digest() || r.Status().Tombstones != 1 {
		t.Errorf("read %+v, written %+v", r.Status(), l.Status())
	}
	if c, ok := r.Get("k", "c"); !ok || c.Value == nil {
		t.Error("an empty value became a tombstone")
	}
	if _, heard := r.Age(); heard {
		t.Error("a start from disk heard of the writer")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%d files: a volatile log was saved", len(entries))
	}
}

func TestRunSavesWhatChanges(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	l := s.Log("c/x")
	l.Begin(1, []Change{change("a", "1")})
	onDisk := func() bool {
		r := saved(t, dir)
		return r != nil && r.Position() == l.Position()
	}
	eventually(t, "the first commit is on disk", onDisk)
	l.Commit(change("a", "2"))
	eventually(t, "the second commit is on disk", onDisk)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestDamagedSnapshotIsSetAsideWhole(t *testing.T) {
	good := func() []byte {
		l := begun(t, Options{}, change("a", "1"), change("b", strings.Repeat("x", 5000)))
		l.Commit(gone("a"))
		var b bytes.Buffer
		if _, err := l.writeSnapshot(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}()
	if _, err := readSnapshot(bytes.NewReader(good), Options{}); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 2000 {
		b := bytes.Clone(good)
		switch i % 3 {
		case 0:
			b = b[:rng.IntN(len(b))]
		case 1:
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		case 2:
			b = append(b, byte(rng.Uint32()))
		}
		if l, err := readSnapshot(bytes.NewReader(b), Options{}); !errors.Is(err, ErrCorrupt) || l != nil {
			t.Fatalf("damage %d: %v", i, err)
		}
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "c%2Fx.feed")
	if err := os.WriteFile(path, good[:len(good)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	if _, ok := open(t, dir, &log).Get("c/x"); ok {
		t.Error("the feed is there")
	}
	if !strings.Contains(log.String(), "set aside") || !strings.Contains(log.String(), "c%2Fx.feed.corrupt") {
		t.Errorf("log: %s", log.String())
	}
	if b, err := os.ReadFile(path + ".corrupt"); err != nil || len(b) != len(good)-1 {
		t.Errorf("set aside: %d bytes, %v", len(b), err)
	}
	if err := os.WriteFile(filepath.Join(dir, "c%2Fy.feed"), good, 0o600); err != nil {
		t.Fatal(err)
	}
	if ids := open(t, dir, &log).IDs(); len(ids) != 0 {
		t.Errorf("a snapshot under another feed's name was read: %v", ids)
	}
}

func TestSnapshotOfAnotherVersionIsNamed(t *testing.T) {
	b := []byte(snapshotMagic)
	b[len(b)-1]++
	_, err := readSnapshot(bytes.NewReader(b), Options{})
	if !errors.Is(err, ErrCorrupt) || !strings.Contains(fmt.Sprint(err), "version 3, this program reads 1 to 2") {
		t.Error(err)
	}
}

func TestCutOffSaveLeavesTheOldSnapshot(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	s.Log("c/x").Begin(1, []Change{change("a", "1")})
	if err := s.Save("c/x"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "c%2Fx.feed.new"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, ok := open(t, dir, nil).Get("c/x"); !ok || l.Len() != 1 {
		t.Error("the old snapshot is not there")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%d files left", len(entries))
	}
}
