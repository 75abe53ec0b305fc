package consensus

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// openLog opens a log store with small segments, and tells what it died of.
func openLog(vfs *memFS, p *plants) (s *logStore, died chan error, err error) {
	died = make(chan error, 8)
	d := &disk{FS: vfs, die: func(err error) { died <- err }, timeout: time.Minute, synced: func(time.Duration) {},
		plants: p}
	m, err := openMetaStore(d, "")
	if err != nil {
		if m, err = createMetaStore(d, ""); err != nil {
			return nil, nil, err
		}
	}
	s, err = newLogStore("", d, m, 4<<10, hclog.NewNullLogger())
	return s, died, err
}

func entry(index, term uint64, size int) *raft.Log {
	return &raft.Log{Index: index, Term: term, Type: raft.LogCommand,
		Data: bytes.Repeat([]byte(fmt.Sprintf("%d/%d ", index, term)), 1+size/8)}
}

// fuzzLog runs a log store through random writes, deletions and power cuts at random instants, and says what was wrong.
// A leader's log syncs while it goes on: overlap.go.
func fuzzLog(seed uint64, p *plants, leads bool) error {
	rnd := rand.New(rand.NewPCG(seed, 2))
	vfs := newMemFS()
	var acked []*raft.Log // what must be there, from first on
	first, term := uint64(1), uint64(1)
	for life := range 5 {
		s, died, err := openLog(vfs, p)
		if err != nil {
			return fmt.Errorf("life %d: open: %w", life, err)
		}
		// The log is what was acknowledged, and perhaps what the last life was doing.
		last := first + uint64(len(acked)) - 1
		for _, e := range acked {
			var got raft.Log
			if err := s.GetLog(e.Index, &got); err != nil || !bytes.Equal(got.Data, e.Data) || got.Term != e.Term {
				return fmt.Errorf("life %d: entry %d was acknowledged: term %d, %w", life, e.Index, got.Term, err)
			}
		}
		end, err := s.LastIndex()
		if err != nil || end < last && len(acked) > 0 {
			return fmt.Errorf("life %d: ends at %d, acknowledged up to %d: %w", life, end, last, err)
		}
		for i := last + 1; i <= end; i++ {
			var got raft.Log
			if err := s.GetLog(i, &got); err != nil {
				return fmt.Errorf("life %d: entry %d is counted: %w", life, i, err)
			}
			acked = append(acked, &got)
		}
		sure := end // what is synced, up to here
		s.overlap = func() bool { return leads && rnd.IntN(4) > 0 }
		cutAfter(vfs, 3+rnd.IntN(60))
		for {
			next := first + uint64(len(acked))
			var err error
			switch k := rnd.IntN(20); {
			case k == 0 && len(acked) > 3: // cut the end off, as a follower of a new leader does
				term++
				n := 1 + rnd.IntN(3)
				keep := acked[:len(acked)-n]
				err = s.DeleteRange(next-uint64(n), next-1)
				acked = keep // if it failed it may or may not have happened
				sure = min(sure, next-uint64(n)-1)
			case k == 1 && len(acked) > 10 && sure == next-1: // compact what is committed
				n := 1 + rnd.IntN(len(acked)-5)
				acked, first = acked[n:], first+uint64(n)
				var from uint64 // the last life may have been cut before it compacted
				if from, err = s.FirstIndex(); err == nil {
					err = s.DeleteRange(from, first-1)
				}
			default:
				var batch []*raft.Log
				for i := range 1 + rnd.IntN(5) {
					batch = append(batch, entry(next+uint64(i), term, rnd.IntN(400)))
				}
				if err = s.StoreLogs(batch); err != nil {
					break
				}
				acked = append(acked, batch...)
				sure = max(sure, next-1)
				if !leads || rnd.IntN(2) == 0 && s.synced(next+uint64(len(batch))-1, nil) == nil {
					sure = next + uint64(len(batch)) - 1
				}
			}
			if errors.Is(err, ErrStopped) {
				if why := <-died; !errors.Is(why, errPowerCut) {
					return fmt.Errorf("life %d: ended by %w", life, why)
				}
				for len(acked) > 0 && acked[len(acked)-1].Index > sure {
					acked = acked[:len(acked)-1]
				}
				break
			}
			if err != nil {
				return fmt.Errorf("life %d: %w", life, err)
			}
		}
		s.close()
		vfs.powerCut(rnd)
	}
	return nil
}

func TestLogSurvivesPowerCuts(t *testing.T) {
	for seed := range uint64(100) {
		for _, leads := range []bool{false, true} {
			if err := fuzzLog(seed, &plants{}, leads); err != nil {
				t.Fatalf("seed %d, leads %v: %v", seed, leads, err)
			}
		}
	}
}

func TestDiskFullRefusesTheWriteAndRecovers(t *testing.T) {
	vfs := newMemFS()
	s, died, err := openLog(vfs, &plants{})
	if err != nil {
		t.Fatal(err)
	}
	next := uint64(1)
	store := func() error {
		err := s.StoreLogs([]*raft.Log{entry(next, 1, 300)})
		if err == nil {
			next++
		}
		return err
	}
	for _, op := range []string{"write", "create"} {
		vfs.setHook(func(o, name string) error {
			if o == op {
				return fmt.Errorf("%s: %w", name, syscall.ENOSPC)
			}
			return nil
		})
		var err error
		for i := 0; i < 50 && err == nil; i++ { // until a segment is full
			err = store()
		}
		if !errors.Is(err, ErrDiskFull) || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("%s on a full disk: %v", op, err)
		}
		for range 3 {
			if err := store(); !errors.Is(err, ErrDiskFull) {
				t.Fatalf("%s on a full disk, again: %v", op, err)
			}
		}
		vfs.setHook(nil)
		for range 40 {
			if err := store(); err != nil {
				t.Fatalf("there is room again: %v", err)
			}
		}
	}
	select {
	case err := <-died:
		t.Errorf("a full disk ended the process: %v", err)
	default:
	}
	for i := uint64(1); i < next; i++ {
		var e raft.Log
		if err := s.GetLog(i, &e); err != nil {
			t.Errorf("entry %d: %v", i, err)
		}
	}
}

func TestFailedSyncAndFailedWriteEndTheProcess(t *testing.T) {
	for op, failure := range map[string]error{"sync": syscall.ENOSPC, "write": syscall.EIO} {
		vfs := newMemFS()
		s, died, err := openLog(vfs, &plants{})
		if err != nil {
			t.Fatal(err)
		}
		vfs.setHook(func(o, _ string) error {
			if o == op {
				return failure
			}
			return nil
		})
		if err := s.StoreLog(entry(1, 1, 10)); !errors.Is(err, ErrStopped) {
			t.Errorf("%s: %v, want %v", op, err, ErrStopped)
		}
		if len(died) == 0 {
			t.Errorf("a failed %s did not end the process", op)
		}
		// A second sync may well succeed, for pages that are gone.
		vfs.setHook(nil)
		if err := s.StoreLog(entry(1, 1, 10)); !errors.Is(err, ErrStopped) {
			t.Errorf("%s after a failed one: %v, want %v", op, err, ErrStopped)
		}
	}
}

func TestFullDiskAfterACutEndsTheProcess(t *testing.T) {
	// Raft still counts the entries that were cut off; refusing what replaces them would leave its picture wrong.
	vfs := newMemFS()
	s, died, err := openLog(vfs, &plants{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.StoreLogs([]*raft.Log{entry(1, 1, 10), entry(2, 1, 10)}); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteRange(2, 2); err != nil {
		t.Fatal(err)
	}
	vfs.setHook(func(o, _ string) error {
		if o == "write" {
			return syscall.ENOSPC
		}
		return nil
	})
	if err := s.StoreLog(entry(2, 2, 10)); !errors.Is(err, ErrStopped) || len(died) == 0 {
		t.Errorf("%v, want %v and the end of the process", err, ErrStopped)
	}
}

func TestRottenEntriesBeforeAcknowledgedOnesAreNotDropped(t *testing.T) {
	vfs := newMemFS()
	s, _, err := openLog(vfs, &plants{})
	if err != nil {
		t.Fatal(err)
	}
	for i := uint64(1); i <= 6; i++ {
		if err := s.StoreLog(entry(i, 1, 40)); err != nil {
			t.Fatal(err)
		}
	}
	s.close()
	for name, f := range vfs.files {
		if at := bytes.Index(f.now, []byte("3/1 ")); at > 0 {
			bad := vfs.clone()
			bad.files[name].now[at] ^= 1
			bad.claimed = false
			if _, _, err := openLog(bad, &plants{}); err == nil {
				t.Error("a damaged entry in the middle was dropped with all behind it")
			}
		}
	}
}
