package consensus

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// One voter becomes five: four that run already are added at the same time, are heard, and are promoted as they catch
// up, some by a snapshot.
func TestFourJoinOneAtTheSameTime(t *testing.T) {
	for _, behind := range []int{1, 60} {
		c := newClusterOf(t, 5, 1, func(_ int, cfg *Config) {
			cfg.SnapshotThreshold, cfg.TrailingLogs, cfg.SnapshotInterval = 20, 5, 20*time.Millisecond
		})
		for i := range behind {
			c.put("k", fmt.Sprint(i))
		}
		first := c.leader()
		var joining sync.WaitGroup
		failed := make(chan error, 4)
		for _, m := range c.members[1:] {
			joining.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
				defer cancel()
				if err := first.node.AddReplica(ctx, Member{ID: m.id, Address: m.address}); err != nil {
					failed <- fmt.Errorf("%s: %w", m.id, err)
				}
			})
		}
		joining.Wait()
		close(failed)
		for err := range failed {
			t.Fatal(err) // one that is alone never loses its office
		}
		for _, m := range c.members[1:] {
			eventually(t, m.id+" is heard", func() bool {
				for _, s := range first.node.Members() {
					if s.ID == m.id {
						return s.LastHeard >= 0
					}
				}
				return false
			})
		}
		for _, m := range c.members[1:] {
			c.promote(m)
		}
		_, index := c.put("k", "last")
		for _, m := range c.members {
			if err := m.node.WaitApplied(timeout(t, 60*time.Second), index); err != nil {
				t.Fatal(err)
			}
			if got := m.machine.get("k"); got != "last" {
				t.Errorf("%s: k = %q", m.id, got)
			}
		}
		if got := len(c.leader().node.Status().Voters); got != 5 {
			t.Errorf("%d voters, want 5", got)
		}
		c.drop()
	}
}
