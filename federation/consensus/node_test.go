package consensus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func TestAcknowledgedWritesSurviveTheLeader(t *testing.T) {
	c := newCluster(t, 5, nil)
	l := c.leader()
	for i := range 20 {
		l, _ = c.put(fmt.Sprint("k", i), fmt.Sprint("v", i))
	}
	c.stop(l)
	began := time.Now()
	n := c.leader(l)
	t.Logf("new leader after %v", time.Since(began))
	for i := range 20 {
		if got, want := n.machine.get(fmt.Sprint("k", i)), fmt.Sprint("v", i); got != want {
			t.Errorf("k%d = %q at the new leader, want %q", i, got, want)
		}
	}
	_, index := c.put("after", "1")

	// The old leader comes back as a follower and catches up.
	c.start(l)
	if err := l.node.WaitApplied(timeout(t, time.Minute), index); err != nil {
		t.Fatal(err)
	}
	if got := l.machine.get("after"); got != "1" {
		t.Errorf("after = %q at the old leader, want 1", got)
	}
	c.whileItFollows(l, func(n *member) error {
		if _, _, err := l.node.Propose(timeout(t, time.Minute), command{"x", "y"}.encode()); !errors.Is(err, ErrNotLeader) {
			return fmt.Errorf("propose at a follower: %v, want %w", err, ErrNotLeader)
		}
		if _, err := l.node.ReadIndex(context.Background()); !errors.Is(err, ErrNotLeader) {
			return fmt.Errorf("read at a follower: %v, want %w", err, ErrNotLeader)
		}
		if id, address, _ := l.node.Leader(); id != n.id || address != n.address {
			return fmt.Errorf("the follower takes %s at %s for the leader, it is %s at %s", id, address, n.id, n.address)
		}
		return nil
	})
}

func TestRestartOfAllResumes(t *testing.T) {
	c := newCluster(t, 5, nil)
	l := c.leader()
	for i := range 30 {
		l, _ = c.put("k", fmt.Sprint(i))
	}
	_, _, term := l.node.Leader()
	for _, m := range c.members {
		c.stop(m)
	}
	for _, m := range c.members {
		c.start(m)
	}
	n := c.leader()
	if got := n.machine.get("k"); got != "29" {
		t.Errorf("k = %q after the restart, want 29", got)
	}
	if _, _, after := n.node.Leader(); after <= term {
		t.Errorf("term %d after the restart, was %d before", after, term)
	}
}

// Addresses come from the configuration: a second start may give every member another one, even each other's.
func TestRestartAtOtherAddresses(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.put("k", "1")
	for _, m := range c.members {
		c.stop(m)
	}
	for i, m := range c.members {
		m.address = c.voters[(i+1)%3].Address
	}
	for i, m := range c.members {
		c.voters[i].Address = m.address
	}
	for _, m := range c.members {
		c.start(m)
	}
	l := c.leader()
	if got := l.machine.get("k"); got != "1" {
		t.Errorf("k = %q, want 1", got)
	}
	_, index := c.put("k", "2")
	for _, m := range c.members {
		if err := m.node.WaitApplied(timeout(t, time.Minute), index); err != nil {
			t.Error(err)
		}
		eventually(t, m.id+" finds the leader where it is", func() bool {
			l := c.leader()
			id, address, _ := m.node.Leader()
			return id == l.id && address == l.address
		})
	}
}

func TestIsolatedFollowerNeitherDisturbsNorMissesAnything(t *testing.T) {
	c := newCluster(t, 5, nil)
	l := c.leader()
	f := c.others(l)[0]
	c.links.isolate(f.id)
	for i := range 50 {
		l, _ = c.put("k", fmt.Sprint(i), f)
	}
	time.Sleep(time.Second) // it stands for election, in vain
	_, _, term := l.node.Leader()
	c.links.set(nil)
	_, index := c.put("k", "end")
	if err := f.node.WaitApplied(timeout(t, time.Minute), index); err != nil {
		t.Fatal(err)
	}
	if _, _, now := c.leader().node.Leader(); now != term {
		t.Logf("term went from %d to %d", term, now) // pre-vote should prevent it; a slow machine may lose a leader
	}
	c.whileItFollows(f, func(*member) error {
		if s := f.node.Status(); s.State != "follower" || s.Leader == "" || s.LastContact < 0 || len(s.Voters) != 5 {
			return fmt.Errorf("status of the follower: %+v", s)
		}
		return nil
	})
}

func TestWithoutAQuorumNothingHangs(t *testing.T) {
	c := newCluster(t, 3, nil)
	l, _ := c.put("k", "1")
	for _, m := range c.others(l) {
		c.stop(m)
	}
	const limit = 200 * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	began := time.Now()
	// It may step down meanwhile, and not know yet that there is no other leader.
	if _, err := l.node.ReadIndex(ctx); !errors.Is(err, ErrNoQuorum) && !errors.Is(err, ErrNotLeader) {
		t.Errorf("read: %v, want %v or %v", err, ErrNoQuorum, ErrNotLeader)
	}
	ctx2, cancel2 := context.WithTimeout(context.Background(), limit)
	defer cancel2()
	if _, _, err := l.node.Propose(ctx2, command{"k", "2"}.encode()); !errors.Is(err, ErrOutcomeUnknown) &&
		!errors.Is(err, ErrNoQuorum) && !errors.Is(err, ErrNotLeader) {
		t.Errorf("propose: %v, want %v, %v or %v", err, ErrOutcomeUnknown, ErrNoQuorum, ErrNotLeader)
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("%v for two calls with %v each", took, limit)
	}
	// Soon the leader steps down, and says that there is no leader to ask.
	eventually(t, "the leader steps down", func() bool {
		id, _, _ := l.node.Leader()
		return !l.node.IsLeader() && id == ""
	})
	_, _, err := l.node.Propose(context.Background(), command{"k", "3"}.encode())
	if !errors.Is(err, ErrNotLeader) || !errors.Is(err, ErrNoQuorum) {
		t.Errorf("propose: %v, want %v and %v", err, ErrNotLeader, ErrNoQuorum)
	}
	if _, err := l.node.ReadIndex(context.Background()); !errors.Is(err, ErrNotLeader) || !errors.Is(err, ErrNoQuorum) {
		t.Errorf("read: %v, want %v and %v", err, ErrNotLeader, ErrNoQuorum)
	}
	if got := l.machine.get("k"); got != "1" {
		t.Errorf("k = %q was applied without a quorum", got)
	}
}

// A read in progress is told at once when the leadership ends, not when its own time is up.
func TestReadEndsWithTheLeadership(t *testing.T) {
	c := newCluster(t, 3, nil)
	l := c.leader()
	c.links.isolate(l.id)
	if _, err := l.node.ReadIndex(timeout(t, time.Minute)); !errors.Is(err, ErrNotLeader) {
		t.Errorf("read at a leader that was cut off: %v, want %v", err, ErrNotLeader)
	}
}

func TestTransferLeadership(t *testing.T) {
	c := newCluster(t, 3, nil)
	var l, to *member
	var changed <-chan struct{}
	eventually(t, "somebody leads when the watch begins", func() bool {
		l = c.leader()
		to = c.others(l)[1]
		var now Leadership
		now, changed = l.node.Leadership()
		return now.Local
	})
	c.handOver(to)
	select {
	case <-changed:
	case <-time.After(time.Minute):
		t.Error("a change of leadership woke nobody")
	}
	eventually(t, "the old leader knows the new one, which knows it itself", func() bool {
		c.handOver(to) // again, should it have lost the office
		now, _ := l.node.Leadership()
		own, _ := to.node.Leadership()
		return now.ID == to.id && now.Address == to.address && !now.Local && own.Local
	})
	c.put("k", "1")
	c.whileItFollows(l, func(*member) error {
		if err := l.node.TransferLeadership(context.Background(), ""); !errors.Is(err, ErrNotLeader) {
			return fmt.Errorf("transfer by a follower: %v, want %w", err, ErrNotLeader)
		}
		return nil
	})
	for _, id := range []string{"nobody", to.id} {
		if err := to.node.TransferLeadership(context.Background(), id); err == nil {
			t.Errorf("transfer to %q was accepted", id)
		}
	}
}

func TestFollowerFarBehindGetsASnapshot(t *testing.T) {
	c := newCluster(t, 3, func(_ int, cfg *Config) {
		cfg.SnapshotThreshold, cfg.TrailingLogs, cfg.SnapshotInterval = 50, 5, 20*time.Millisecond
		cfg.SegmentSize = 64 << 10
	})
	l := c.leader()
	f := c.others(l)[0]
	c.stop(f)
	var installed atomic.Int64
	c.links.set(func(_, to string, req any, answer bool) error {
		if _, ok := req.(*raft.InstallSnapshotRequest); ok && answer && to == f.id {
			installed.Add(1)
		}
		return nil
	})
	for i := range 300 {
		c.put("filler", strings.Repeat("x", 1000), f) // several segments: raft-wal deletes whole ones only
		c.put(fmt.Sprint("k", i%10), fmt.Sprint(i), f)
	}
	eventually(t, "the logs are compacted", func() bool {
		for _, m := range c.others(f) {
			if first, err := m.node.folder.store.FirstIndex(); err != nil || first <= 500 {
				return false
			}
		}
		return true
	})
	c.start(f)
	_, index := c.put("end", "1")
	if err := f.node.WaitApplied(timeout(t, time.Minute), index); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it answers that it has the snapshot", func() bool { return installed.Load() > 0 })
	for i := range 10 {
		if got, want := f.machine.get(fmt.Sprint("k", i)), fmt.Sprint(290+i); got != want {
			t.Errorf("k%d = %q, want %q", i, got, want)
		}
	}
	// And a restart of all, from snapshots that have everything in them.
	for _, m := range c.members {
		if err := m.node.WaitApplied(timeout(t, time.Minute), index); err != nil {
			t.Fatal(err)
		}
		if err := m.node.raft.Load().Snapshot().Error(); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
			t.Fatal(err)
		}
		c.stop(m)
	}
	for _, m := range c.members {
		c.start(m)
	}
	n := c.leader()
	if got := n.machine.get("k9"); got != "299" {
		t.Errorf("k9 = %q after the restart, want 299", got)
	}
	if err := c.atLeader(func(ctx context.Context, n *Node) error {
		got, err := n.ReadIndex(ctx)
		if err == nil && got != index {
			err = fmt.Errorf("read index %d after the restart, want %d", got, index)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}
