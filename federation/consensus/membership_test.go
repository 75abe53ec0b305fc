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

// atLeader calls something at the leader, again at the next one if that one was none any more, and returns what a
// leader said of it.
func (c *cluster) atLeader(do func(ctx context.Context, n *Node) error) error {
	c.t.Helper()
	var err error
	for range 20 {
		err = do(timeout(c.t, 10*time.Second), c.leader().node)
		if !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrOutcomeUnknown) && !errors.Is(err, ErrNoQuorum) {
			return err
		}
	}
	return fmt.Errorf("no leader stays in office: %w", err)
}

// add makes a member a replica.
func (c *cluster) add(m *member) {
	c.t.Helper()
	if err := c.atLeader(func(ctx context.Context, n *Node) error {
		return n.AddReplica(ctx, Member{ID: m.id, Address: m.address})
	}); err != nil {
		c.t.Fatal(err)
	}
}

// promote makes a replica a voter once it has caught up.
func (c *cluster) promote(m *member) {
	c.t.Helper()
	c.settled("promote "+m.id, func(ctx context.Context, n *Node) error { return n.Promote(ctx, m.id) })
}

// remove takes a member out, after it gave the leadership away.
func (c *cluster) remove(m *member) {
	c.t.Helper()
	c.settled("remove "+m.id, func(ctx context.Context, n *Node) error { return handedOver(ctx, n, n.Remove(ctx, m.id)) })
}

// demote takes a voter's vote, after it gave the leadership away.
func (c *cluster) demote(m *member) {
	c.t.Helper()
	c.settled("demote "+m.id, func(ctx context.Context, n *Node) error { return handedOver(ctx, n, n.Demote(ctx, m.id)) })
}

// handedOver has a leader that is asked to take itself out hand over, so that the next one is asked.
func handedOver(ctx context.Context, n *Node, err error) error {
	if errors.Is(err, ErrLeads) {
		n.TransferLeadership(ctx, "")
		return ErrNotLeader
	}
	return err
}

// settled repeats a change until the members it looks at answer as they should.
func (c *cluster) settled(what string, do func(ctx context.Context, n *Node) error) {
	c.t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		err := c.atLeader(do)
		if err == nil || errors.Is(err, ErrNotMember) { // gone, by a call whose answer was lost
			return
		}
		if !errors.Is(err, ErrLagging) && !errors.Is(err, ErrUnhealthy) || time.Now().After(deadline) {
			c.t.Fatalf("%s: %v", what, err)
		}
	}
}

// silent waits until the leader has not heard a member for long enough to count it out.
func (c *cluster) silent(m *member) {
	c.t.Helper()
	eventually(c.t, m.id+" is silent", func() bool {
		n := c.leader(m).node
		for _, s := range n.Members() {
			if s.ID == m.id {
				return !n.answers(s)
			}
		}
		return false
	})
}

// votersAt returns the ids of a node's voters.
func votersAt(n *Node) string {
	var ids []string
	for _, m := range n.Members() {
		if m.Voter {
			ids = append(ids, m.ID)
		}
	}
	return strings.Join(ids, " ")
}

func TestReplicaFollowsIsPromotedDemotedAndRemoved(t *testing.T) {
	c := newClusterOf(t, 3, 2, nil)
	c.put("k", "1")
	n3 := c.members[2]
	c.add(n3)
	c.add(n3) // again: nothing to do
	_, index := c.put("k", "2")
	if err := n3.node.WaitApplied(timeout(t, time.Minute), index); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the replica has nothing behind it", func() bool {
		for _, m := range c.leader().node.Members() {
			if m.ID == n3.id {
				return !m.Voter && m.Lag == 0 && m.LastHeard >= 0 && m.Address == n3.address && m.Match >= index
			}
		}
		return false
	})
	if got := votersAt(n3.node); got != "n1 n2" {
		t.Errorf("voters at the replica: %s, want n1 n2", got)
	}
	for _, m := range n3.node.Members() {
		if m.LastHeard != -1 || m.Match != 0 {
			t.Errorf("a replica claims to know of %+v", m)
		}
	}
	if _, _, err := n3.node.Propose(timeout(t, time.Minute), command{"x", "y"}.encode()); !errors.Is(err, ErrNotLeader) {
		t.Errorf("propose at a replica: %v, want %v", err, ErrNotLeader)
	}
	for what, do := range map[string]func(ctx context.Context) error{
		"add":     func(ctx context.Context) error { return n3.node.AddReplica(ctx, Member{"n9", "127.0.0.1:9"}) },
		"promote": func(ctx context.Context) error { return n3.node.Promote(ctx, "n3") },
		"demote":  func(ctx context.Context) error { return n3.node.Demote(ctx, "n1") },
		"remove":  func(ctx context.Context) error { return n3.node.Remove(ctx, "n1") },
	} {
		if err := do(timeout(t, time.Minute)); !errors.Is(err, ErrNotLeader) {
			t.Errorf("%s at a replica: %v, want %v", what, err, ErrNotLeader)
		}
	}

	c.promote(n3)
	c.promote(n3)
	if got := votersAt(c.leader().node); got != "n1 n2 n3" {
		t.Errorf("voters %s, want n1 n2 n3", got)
	}
	c.handOver(n3)
	c.put("k", "3")
	c.handOver(c.members[0])
	c.demote(n3)
	_, index = c.put("k", "4")
	if err := n3.node.WaitApplied(timeout(t, time.Minute), index); err != nil {
		t.Errorf("a demoted voter does not follow: %v", err)
	}
	if err := c.atLeader(func(ctx context.Context, n *Node) error { return n.TransferLeadership(ctx, n3.id) }); !errors.Is(err, ErrNotMember) {
		t.Errorf("transfer to a replica: %v", err)
	}
	c.remove(n3)
	if got := len(c.leader().node.Members()); got != 2 {
		t.Errorf("%d members, want 2", got)
	}
	c.put("k", "5")
}

func TestChangesThatMayNotBe(t *testing.T) {
	c := newClusterOf(t, 3, 2, func(_ int, cfg *Config) { cfg.PromoteLag = 10 })
	l, _ := c.put("k", "1")
	other := c.others(l, c.members[2])[0]
	refused := func(what string, want error, do func(ctx context.Context, n *Node) error) error {
		t.Helper()
		var err error
		// An idle voter answers ten times in a heartbeat timeout; on a busy machine it may seem not to for a while.
		eventually(t, what+" is refused rightly", func() bool {
			err = c.atLeader(do)
			return errors.Is(err, want)
		})
		return err
	}
	refused("a stranger's promotion", ErrNotMember, func(ctx context.Context, n *Node) error { return n.Promote(ctx, "n9") })
	refused("a stranger's demotion", ErrNotMember, func(ctx context.Context, n *Node) error { return n.Demote(ctx, "n9") })
	refused("a stranger's removal", ErrNotMember, func(ctx context.Context, n *Node) error { return n.Remove(ctx, "n9") })
	refused("the leader's own removal", ErrLeads, func(ctx context.Context, n *Node) error { return n.Remove(ctx, n.cfg.ID) })
	refused("the leader's own demotion", ErrLeads, func(ctx context.Context, n *Node) error { return n.Demote(ctx, n.cfg.ID) })
	for _, m := range []Member{{"", "127.0.0.1:1"}, {"n3", "nowhere"}, {"n3", other.address}} {
		err := c.atLeader(func(ctx context.Context, n *Node) error { return n.AddReplica(ctx, m) })
		if err == nil || errors.Is(err, ErrNotLeader) {
			t.Errorf("adding %+v: %v", m, err)
		}
	}

	// A replica that is heard but gets no entries is behind; the message says how far.
	n3 := c.members[2]
	c.links.set(func(_, to string, req any, _ bool) error {
		if _, snapshot := req.(*raft.InstallSnapshotRequest); to == n3.id && (snapshot || hasEntries(req)) {
			return errCut
		}
		return nil
	})
	c.add(n3)
	for i := range 30 {
		c.put("k", fmt.Sprint(i))
	}
	err := refused("a late replica's promotion", ErrLagging, func(ctx context.Context, n *Node) error {
		return n.Promote(ctx, "n3")
	})
	var lag *LagError
	if !errors.As(err, &lag) || lag.ID != "n3" || lag.Lag <= 30 || lag.Limit != 10 {
		t.Errorf("a late replica's promotion: %+v", err)
	}
	c.links.set(nil)
	c.promote(n3)

	// With n3 silent, n1 and n2 must both stay.
	c.stop(n3)
	c.silent(n3)
	refused("the removal of a voter that is needed", ErrUnhealthy, func(ctx context.Context, n *Node) error {
		for _, m := range n.Members() {
			if m.ID != n.cfg.ID && m.ID != n3.id {
				return n.Remove(ctx, m.ID)
			}
		}
		return nil
	})
	c.remove(n3) // the silent one may go
	l = c.leader()
	other = c.others(l, n3)[0]
	c.remove(other)
	refused("the removal of the last voter", ErrLastVoter, func(ctx context.Context, n *Node) error {
		return n.Remove(ctx, n.cfg.ID)
	})
	refused("the demotion of the last voter", ErrLastVoter, func(ctx context.Context, n *Node) error {
		return n.Demote(ctx, n.cfg.ID)
	})
	if err := c.leader().node.TransferLeadership(timeout(t, time.Minute), ""); !errors.Is(err, ErrLastVoter) {
		t.Errorf("transfer with nobody there: %v, want %v", err, ErrLastVoter)
	}
	c.put("k", "end")
}

// A voter that was removed while it was cut off does not know it. It stands for election, and nobody minds.
func TestRemovedVoterUnseatsNobody(t *testing.T) {
	c := newCluster(t, 4, nil)
	l, _ := c.put("k", "1")
	gone := c.others(l)[0]
	c.links.isolate(gone.id)
	c.settled("remove", func(ctx context.Context, n *Node) error { return n.Remove(ctx, gone.id) })
	var asked, stood atomic.Int64
	c.links.set(func(from, to string, req any, answer bool) error {
		if to == gone.id {
			return errCut // nobody tells it
		}
		switch req.(type) {
		case *raft.RequestPreVoteRequest, *raft.RequestVoteRequest:
			if from == gone.id && answer {
				asked.Add(1)
			}
		}
		if _, votes := req.(*raft.RequestVoteRequest); votes && from == gone.id && !answer {
			stood.Add(1)
		}
		return nil
	})
	l, _ = c.put("k", "2", gone)
	_, _, term := l.node.Leader()
	eventually(t, "it asks the others often enough", func() bool { return asked.Load() >= 9 })
	if gone.node.IsLeader() {
		t.Error("a voter that was removed leads")
	}
	// Whoever would have listened to it would be in a later term than its own, which pre-votes do not raise.
	// The cluster may come to another term meanwhile, and it hears of that.
	if s, now := gone.node.Status(), c.leader(gone).node.Status(); stood.Load() > 0 || s.Term > now.Term {
		t.Errorf("it came to term %d, the cluster is in %d and was in %d; it asked for %d votes", s.Term, now.Term, term, stood.Load())
	}
	c.put("k", "3", gone)
	if _, _, now := c.leader(gone).node.Leader(); now != term {
		t.Logf("term went from %d to %d", term, now) // a slow machine may lose a leader
	}
	if got := len(c.leader(gone).node.Members()); got != 3 {
		t.Errorf("%d members, want 3", got)
	}
}
