package consensus

import (
	"strings"
	"testing"
	"time"
)

// A folder whose newest snapshot is damaged, and whose log begins behind the older one, is refused with what to do.
func TestADamagedSnapshotIsRefused(t *testing.T) {
	c := newCluster(t, 1, func(_ int, cfg *Config) {
		cfg.SnapshotThreshold, cfg.TrailingLogs, cfg.SnapshotInterval, cfg.SegmentSize = 20, 5, 20*time.Millisecond, 64<<10
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
	for len(snapshots()) < 2 {
		c.put("k", strings.Repeat("x", 1000))
	}
	for range 100 { // the log leaves more than one segment behind
		c.put("k", strings.Repeat("y", 1000))
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
	case <-time.After(30 * time.Second):
		t.Fatal("it goes on with what it has")
	}
}
