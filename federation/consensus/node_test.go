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
	if _, err := n.node.ReadIndex(timeout(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if got, want := n.machine.get(fmt.Sprint("k", i)), fmt.Sprint("v", i); got != want {
			t.Errorf("k%d = %q at the new leader, want %q", i, got, want)
		}
	}
	n, index := c.put("after", "1")

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
	l, index := c.put("k", "2")
	for _, m := range c.members {
		if err := m.node.WaitApplied(timeout(t, 20*time.Second), index); err != nil {
			t.Error(err)
		}
		if _, address, _ := m.node.Leader(); address != l.address {
			t.Errorf("%s finds the leader at %s, it is at %s", m.id, address, l.address)
		}
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
	if err := f.node.WaitApplied(timeout(t, 20*time.Second), index); err != nil {
		t.Fatal(err)
	}
	if _, _, now := c.leader().node.Leader(); now != term {
		t.Logf("term went from %d to %d", term, now) // pre-vote should prevent it; a slow machine may lose a leader
	}
	if s := f.node.Status(); s.State != "follower" || s.Leader == "" || s.LastContact < 0 || len(s.Voters) != 5 {
		t.Errorf("status of the follower: %+v", s)
	}
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
	if _, err := l.node.ReadIndex(ctx); !errors.Is(err, ErrNoQuorum) {
		t.Errorf("read: %v, want %v", err, ErrNoQuorum)
	}
	ctx2, cancel2 := context.WithTimeout(context.Background(), limit)
	defer cancel2()
	if _, _, err := l.node.Propose(ctx2, command{"k", "2"}.encode()); !errors.Is(err, ErrOutcomeUnknown) &&
		!errors.Is(err, ErrNoQuorum) {
		t.Errorf("propose: %v, want %v or %v", err, ErrOutcomeUnknown, ErrNoQuorum)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("%v for two calls with %v each", took, limit)
	}
	// Soon the leader steps down, and says that there is no leader to ask.
	eventually(t, "the leader steps down", func() bool { return !l.node.IsLeader() })
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
	l := c.leader()
	to := c.others(l)[1]
	_, changed := l.node.Leadership()
	c.handOver(to)
	select {
	case <-changed:
	case <-time.After(10 * time.Second):
		t.Error("a change of leadership woke nobody")
	}
	eventually(t, "the old leader knows the new one", func() bool {
		now, _ := l.node.Leadership()
		return now.ID == to.id && now.Address == to.address && !now.Local
	})
	if now, _ := to.node.Leadership(); !now.Local {
		t.Errorf("leadership at the new leader: %+v", now)
	}
	c.put("k", "1")
	if err := l.node.TransferLeadership(context.Background(), ""); !errors.Is(err, ErrNotLeader) {
		t.Errorf("transfer by a follower: %v, want %v", err, ErrNotLeader)
	}
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
		l, _ = c.put(fmt.Sprint("k", i%10), fmt.Sprint(i), f)
	}
	eventually(t, "the log is compacted", func() bool {
		first, err := l.node.folder.store.FirstIndex()
		return err == nil && first > 500
	})
	c.start(f)
	_, index := c.put("end", "1")
	if err := f.node.WaitApplied(timeout(t, 20*time.Second), index); err != nil {
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
		if err := m.node.WaitApplied(timeout(t, 20*time.Second), index); err != nil {
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
	if got, err := n.node.ReadIndex(timeout(t, 10*time.Second)); err != nil || got != index {
		t.Errorf("read index %d after the restart, want %d: %v", got, index, err)
	}
}
