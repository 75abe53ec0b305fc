package consensus

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestAcknowledgedWritesSurviveTheLeader(t *testing.T) {
	c := newCluster(t, 5, nil)
	l := c.leader()
	for i := range 20 {
		c.put(l, fmt.Sprint("k", i), fmt.Sprint("v", i))
	}
	c.stop(l)
	began := time.Now()
	n := c.leader(l)
	t.Logf("new leader after %v", time.Since(began))
	if _, err := n.node.ReadIndex(timeout(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if got, want := n.machine.get(fmt.Sprint("k", i)), fmt.Sprint("v", i); got != want {
			t.Errorf("k%d = %q at the new leader, want %q", i, got, want)
		}
	}
	index := c.put(n, "after", "1")

	// The old leader comes back as a follower and catches up.
	c.start(l)
	if err := l.node.WaitApplied(timeout(t, 20*time.Second), index); err != nil {
		t.Fatal(err)
	}
	if got := l.machine.get("after"); got != "1" {
		t.Errorf("after = %q at the old leader, want 1", got)
	}
	if _, _, err := l.node.Propose(timeout(t, time.Second), command{"x", "y"}.encode()); !errors.Is(err, ErrNotLeader) {
		t.Errorf("propose at a follower: %v, want %v", err, ErrNotLeader)
	}
	if _, err := l.node.ReadIndex(context.Background()); !errors.Is(err, ErrNotLeader) {
		t.Errorf("read at a follower: %v, want %v", err, ErrNotLeader)
	}
	id, address, _ := l.node.Leader()
	if id != n.id || address != n.address {
		t.Errorf("the follower takes %s at %s for the leader, it is %s at %s", id, address, n.id, n.address)
	}
}
