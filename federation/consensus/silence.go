package consensus

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// watchSilence has a voter stand for election as soon as it may. Raft's own timer looks only once every one to two
// heartbeat timeouts, so that a dead leader is noticed after one to three of them; and when two voters notice at the
// same time, the votes are split and another election timeout passes.
//
// Here each voter has a turn of its own, in the half heartbeat timeout after the first one. A voter that still believes
// in the leader refuses to vote, so it is the one whose turn completes a majority that wins, and nobody else stands at
// that moment.
func (n *Node) watchSilence(ctx context.Context, r *raft.Raft) {
	for {
		patience := n.cfg.HeartbeatTimeout
		if leader, turn := n.turn(r); r.State() == raft.Follower && leader != "" {
			patience += turn
			if silent := time.Since(r.LastContact()); silent >= patience && !r.LastContact().IsZero() {
				n.standNow(r)
			} else {
				patience = max(patience-silent, time.Millisecond)
			}
		}
		select {
		case <-time.After(patience):
		case <-ctx.Done():
			return
		}
	}
}

// turn returns whom this node follows, and when after a heartbeat timeout it is its turn.
func (n *Node) turn(r *raft.Raft) (leader raft.ServerID, turn time.Duration) {
	_, leader = r.LeaderWithID()
	var others []raft.ServerID
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if s.Suffrage == raft.Voter && s.ID != leader {
			others = append(others, s.ID)
		}
	}
	return leader, turnOf(others, raft.ServerID(n.cfg.ID), r.CurrentTerm(), n.cfg.HeartbeatTimeout/2, rand.Float64())
}

// turnOf is when it is one voter's turn, within spread: in the first half of its share, so that clocks and messages may
// differ by the other half. Who is first changes with the term.
func turnOf(voters []raft.ServerID, self raft.ServerID, term uint64, spread time.Duration, random float64) time.Duration {
	slices.SortFunc(voters, cmp.Compare)
	i := slices.Index(voters, self)
	if i < 0 {
		return spread // no voter, or the leader itself: raft knows better
	}
	k := uint64(len(voters))
	place := (uint64(i) + term%k) % k
	return time.Duration(float64(spread) * (float64(place) + random/2) / float64(k))
}

// standNow has raft look at once whether it has heard of its leader within a heartbeat timeout, which it does when that
// is made shorter.
func (n *Node) standNow(r *raft.Raft) {
	c := r.ReloadableConfig()
	for _, timeout := range []time.Duration{n.cfg.HeartbeatTimeout, longer(n.cfg.HeartbeatTimeout)} {
		c.HeartbeatTimeout = timeout
		if err := r.ReloadConfig(c); err != nil {
			n.log.Error("raft does not take its heartbeat timeout", "error", err)
		}
	}
}

// longer is what raft is told for the heartbeat timeout, so that it can be made shorter.
func longer(heartbeat time.Duration) time.Duration { return heartbeat + 1 }
