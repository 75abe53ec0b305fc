package consensus

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// cutOnFull fills a disk to the last byte and has the log's end taken back and replaced, again and again, as new leaders
// do. It says whether the process had to end.
func cutOnFull(_ *testing.T, p plants) error {
	vfs := newMemFS()
	s, died, err := openLog(vfs, &p)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.StoreLogs([]*raft.Log{entry(1, 1, 300), entry(2, 1, 300), entry(3, 1, 300)}); err != nil {
		return err
	}
	vfs.setRoom(0)
	term := uint64(1)
	refused := 0
	for range 5 {
		err := s.DeleteRange(2, 3)
		switch {
		case errors.Is(err, ErrDiskFull) && errors.Is(err, syscall.ENOSPC):
			refused++
			for i := uint64(1); i <= 3; i++ {
				var e raft.Log
				if err := s.GetLog(i, &e); err != nil || e.Term != term && i > 1 {
					return fmt.Errorf("the cut was refused, and entry %d is of term %d: %w", i, e.Term, err)
				}
			}
			continue
		case err != nil:
			return fmt.Errorf("the end is cut off on a full disk: %w", err)
		}
		term++
		if err := s.StoreLogs([]*raft.Log{entry(2, term, 300), entry(3, term, 300)}); err != nil {
			return fmt.Errorf("what replaces what was cut off: %w", err)
		}
		// What was given up is given to somebody else.
		vfs.setRoom(0)
	}
	if refused == 0 || term == 1 {
		return fmt.Errorf("%d cuts were refused, %d made: want both", refused, term-1)
	}
	vfs.setRoom(-1)
	for range 3 { // there is room again: for the cut, and for the spare
		if err := s.DeleteRange(2, 3); err != nil {
			return fmt.Errorf("there is room again: %w", err)
		}
		term++
		if err := s.StoreLogs([]*raft.Log{entry(2, term, 300), entry(3, term, 300)}); err != nil {
			return fmt.Errorf("there is room again: %w", err)
		}
	}
	select {
	case err := <-died:
		return fmt.Errorf("a full disk ended the process: %w", err)
	default:
		return nil
	}
}

// The spare is for cuts, not for writes, and is made again once there is room.
func TestTheSpareIsKeptForCuts(t *testing.T) {
	vfs := newMemFS()
	s, _, err := openLog(vfs, &plants{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	next := uint64(1)
	store := func() error {
		err := s.StoreLog(entry(next, 1, 300))
		if err == nil {
			next++
		}
		return err
	}
	if err := store(); err != nil || !s.disk.spare.held.Load() {
		t.Fatalf("with the first entry it is there: %v, %v", s.disk.spare.held.Load(), err)
	}
	vfs.setRoom(0)
	for err == nil {
		err = store()
	}
	if !errors.Is(err, ErrDiskFull) || !s.disk.spare.held.Load() {
		t.Fatalf("a write on a full disk: %v, the spare is there: %v", err, s.disk.spare.held.Load())
	}
	next--
	if err := s.DeleteRange(next, next); err != nil || s.disk.spare.held.Load() {
		t.Fatalf("a cut on a full disk: %v, the spare is there: %v", err, s.disk.spare.held.Load())
	}
	if err := store(); err != nil {
		t.Fatal(err)
	}
	vfs.setRoom(-1)
	s.disk.spare.tried = time.Time{}
	if err := store(); err != nil || !s.disk.spare.held.Load() {
		t.Errorf("there is room again: %v, the spare is there: %v", err, s.disk.spare.held.Load())
	}
}

// A snapshot that is written while the log's end is cut off does not get the room that is kept for that.
func TestASnapshotDoesNotTakeTheSpare(t *testing.T) {
	vfs := newMemFS()
	s, _, err := openLog(vfs, &plants{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.StoreLog(entry(1, 1, 300)); err != nil {
		t.Fatal(err)
	}
	snaps := &snapshots{fs: s.disk, logger: hclog.NewNullLogger()}
	k, err := snaps.Create(1, 1, 1, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.disk.spare.spend.Store(true) // as in the middle of a cut
	defer s.disk.spare.spend.Store(false)
	vfs.setRoom(0)
	if _, err := k.Write(make([]byte, 1<<20)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a snapshot on a full disk: %v", err)
	}
	if !s.disk.spare.held.Load() {
		t.Error("a snapshot took the room that is kept for the log")
	}
	if err := k.Cancel(); err != nil {
		t.Error(err)
	}
}

// A leader that was cut off with entries that nobody else has, and whose disk is full when it is back, takes them back
// and follows; without room for that it waits, and heals.
func TestFullDeposedLeaderHeals(t *testing.T) {
	for _, spare := range []bool{true, false} {
		c := newCluster(t, 3, func(_ int, cfg *Config) {
			cfg.SnapshotThreshold = 1 << 20 // the entries are to come from the log
			cfg.SegmentSize = 64 << 10
		})
		c.put("k", "1")
		var old *member
		eventually(t, "a leader that is cut off writes alone", func() (alone bool) { // unless it was deposed before
			old, _ = c.put("k", "2")
			c.links.isolate(old.id)
			lone, _ := old.node.folder.log.LastIndex()
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			go old.node.Propose(ctx, command{"k", "lost"}.encode())
			eventually(t, "it wrote alone, or was deposed before", func() bool {
				last, _ := old.node.folder.log.LastIndex()
				alone = last > lone
				return alone || !old.node.IsLeader()
			})
			if !alone {
				c.links.set(nil)
			}
			return alone
		})
		c.put("k", "3", old)
		eventually(t, "it leads no more", func() bool { return !old.node.IsLeader() })
		disk := old.fs.(*memFS)
		if !spare {
			disk.Delete("", spareFile)
			old.node.folder.store.disk.spare.held.Store(false)
		}
		disk.setRoom(0)
		c.links.set(nil)
		_, index := c.put("k", "4", old)
		if spare {
			if err := old.node.WaitApplied(timeout(t, 60*time.Second), index); err != nil {
				t.Fatalf("with a spare it follows also while its disk is full: %v", err)
			}
		} else {
			eventually(t, "it was asked, and could not", func() bool { return old.node.folder.store.fullLately(time.Minute) })
		}
		disk.setRoom(-1)
		_, index = c.put("k", "5", old)
		if err := old.node.WaitApplied(timeout(t, 60*time.Second), index); err != nil {
			t.Fatal(err)
		}
		if got := old.machine.get("k"); got != "5" || len(old.fatal) > 0 {
			t.Errorf("k = %q, want 5; %d fatal", got, len(old.fatal))
		}
		c.drop()
	}
}
