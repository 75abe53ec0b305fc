package consensus

import (
	"strings"
	"testing"
	"time"
)

// A folder whose newest snapshot is damaged, and whose log begins behind the older one, is refused with what to do.
func TestADamagedSnapshotIsRefused(t *testing.T) {
	c := newCluster(t, 1, func(_ int, cfg *Config) {
		cfg.SnapshotThreshold, cfg.TrailingLogs, cfg.SegmentSize = 1<<20, 5, 64<<10 // it takes none of its own accord
	})
	m := c.members[0]
	snapshots := func() (names []string) {
		all, err := m.fs.ListDir(m.dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range all {
			if strings.HasSuffix(name, snapSuffix) {
				names = append(names, name)
			}
		}
		return names
	}
	for range 2 {
		for range 150 { // more than two segments: of the last one raft-wal hands out also what was deleted
			c.put("k", strings.Repeat("x", 1000))
		}
		if err := m.node.raft.Load().Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
	}
	c.stop(m)
	all := snapshots()
	newest := all[len(all)-1]
	f, err := m.fs.OpenWriter(m.dir, newest)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("rot"), int64(snapHead)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	m.adjust = func(cfg *Config) { cfg.SegmentSize = 64 << 10 }
	c.start(m)
	select {
	case err := <-m.ended:
		m.cancel = nil
		if err == nil || !strings.Contains(err.Error(), "treat its disk as lost") {
			t.Errorf("it ended: %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it goes on with what it has")
	}
}
