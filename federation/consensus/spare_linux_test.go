package consensus

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// The same as cutOnFull, on a file system of the kernel's that is full.
func TestCutOnAFullFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); errors.Is(err, syscall.EPERM) {
		t.Skip("SKIPPED: mounting a file system needs root; TestBrokenRulesAreFound does the same on a simulated disk")
	} else if err != nil {
		t.Fatal(err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	died := make(chan error, 1)
	d := &disk{FS: OS(), die: func(err error) { died <- err }, timeout: time.Minute, synced: func(time.Duration) {},
		plants: &plants{}}
	m, err := createMetaStore(d, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	s, err := newLogStore(dir, d, m, 128<<10, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 400<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	next := uint64(1)
	for err == nil { // until there is no room for another segment
		if err = s.StoreLogs([]*raft.Log{entry(next, 1, 20<<10)}); err == nil {
			next++
		}
	}
	if !errors.Is(err, ErrDiskFull) {
		t.Fatal(err)
	}
	f, err := os.OpenFile(ballast, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil { // nor for anything else
		_, err = f.Write(make([]byte, 4<<10))
	}
	f.Close()
	var cuts, refusals int
	for term := uint64(2); term < 6; term++ {
		if err := s.DeleteRange(next-1, next-1); errors.Is(err, ErrDiskFull) {
			refusals++
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		cuts++
		if err := s.StoreLog(entry(next-1, term, 10<<10)); err != nil {
			t.Fatal(err)
		}
	}
	if cuts == 0 || refusals == 0 {
		t.Errorf("%d cuts, %d refused: want both", cuts, refusals)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteRange(next-1, next-1); err != nil {
		t.Fatalf("there is room again: %v", err)
	}
	if err := s.StoreLog(entry(next-1, 9, 100)); err != nil {
		t.Fatalf("there is room again: %v", err)
	}
	if len(died) > 0 {
		t.Errorf("a full disk ended the process: %v", <-died)
	}
}
