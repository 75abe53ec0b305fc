package consensus

import (
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/types"
)

// pausedFS calls after behind each listing and each making of a file.
type pausedFS struct {
	types.VFS
	after func(op string)
}

func (p *pausedFS) ListDir(dir string) ([]string, error) {
	names, err := p.VFS.ListDir(dir)
	p.after("list")
	return names, err
}

func (p *pausedFS) Create(dir, name string, size uint64) (types.WritableFile, error) {
	f, err := p.VFS.Create(dir, name, size)
	p.after("create")
	return f, err
}

// waited says whether somebody waits for a lock.
func (l *lock) waited() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.free != nil
}

// A node may take a snapshot of its own while it installs its leader's. Whichever ends first deletes what is old: never
// the other one, which may begin or end at that moment, and behind which the log is cut off.
func TestSnapshotsThatBeginAndEndTogether(t *testing.T) {
	for name, x := range map[string]struct {
		op    string
		count int // of the op, counted from when the first snapshot is about to end or the second to begin
	}{
		"one begins while old ones are deleted": {"create", 1},
		"one ends while old ones are deleted":   {"list", 2},
	} {
		t.Run(name, func(t *testing.T) {
			vfs := &pausedFS{VFS: newMemFS(), after: func(string) {}}
			s := &snapshots{fs: vfs, logger: hclog.NewNullLogger()}
			begin := func(index uint64) raft.SnapshotSink {
				k, err := s.Create(1, index, 1, raft.Configuration{}, 1, nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := k.Write([]byte("content")); err != nil {
					t.Fatal(err)
				}
				return k
			}
			end := func(k raft.SnapshotSink) {
				if err := k.Close(); err != nil {
					t.Error(err)
				}
			}
			first := begin(9)
			var second raft.SnapshotSink
			here, beside := func() { second = begin(10) }, func() { end(first) }
			if x.op == "list" {
				second = begin(10)
				here, beside = func() { end(first) }, func() { end(second) }
			}
			over, seen := make(chan struct{}), 0
			vfs.after = func(op string) {
				if op != x.op {
					return
				}
				if seen++; seen != x.count {
					return
				}
				vfs.after = func(string) {}
				go func() { defer close(over); beside() }()
				eventually(t, "what is beside it is over, or waits", func() bool {
					select {
					case <-over:
						return true
					default:
						return s.settling.waited()
					}
				})
			}
			here()
			<-over
			if x.op == "create" {
				end(second)
			}
			if _, content, err := s.Open(second.ID()); err != nil {
				t.Fatalf("the newer snapshot was finished: %v", err)
			} else if err := content.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
