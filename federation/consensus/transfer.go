package consensus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// TransferLeadership hands the leadership to the voter with that id, or if id is empty to the one that answers and is
// furthest, and returns once this node is no longer the leader. Proposals are refused (ErrNotLeader) while it lasts. A
// node that is about to stop calls it first: the next leader is then there after a round trip or two instead of an
// election timeout. ErrLastVoter: there is nobody to hand it to.
//
// A voter that does not take it in an election timeout is given up; without an id, the next one is tried until ctx ends,
// or until this node stops (ErrStopped).
func (n *Node) TransferLeadership(ctx context.Context, id string) error {
	r := n.raft.Load()
	if r == nil || r.State() != raft.Leader {
		return fmt.Errorf("transfer: %w", ErrNotLeader)
	}
	if id != "" {
		switch i := slices.IndexFunc(n.Members(), func(m MemberStatus) bool { return m.ID == id && m.Voter }); {
		case i < 0:
			return fmt.Errorf("transfer: id %q is not a voter: %w", id, ErrNotMember)
		case id == n.cfg.ID:
			return fmt.Errorf("transfer: id %q is this node", id)
		}
		return wrap("transfer", n.transferTo(ctx, r, id))
	}
	var last error
	for turn := 0; ctx.Err() == nil; turn++ {
		heirs := n.heirs()
		switch {
		case r.State() != raft.Leader:
			return nil // it lost the leadership on the way, which is what was wanted
		case len(heirs) == 0 && n.alone():
			return fmt.Errorf("transfer: %w", ErrLastVoter)
		case len(heirs) == 0: // right after an election nobody has answered yet
			last = fmt.Errorf("%w: no other voter answers", ErrNoQuorum)
		default:
			last = n.transferTo(ctx, r, heirs[turn%len(heirs)].ID)
			if last == nil || errors.Is(last, ErrStopped) {
				return wrap("transfer", last)
			}
		}
		select { // some refusals come at once: the main loop is busy, or another transfer is on its way
		case <-time.After(n.cfg.HeartbeatTimeout / 10):
		case <-ctx.Done():
		}
	}
	return fmt.Errorf("transfer: %w", errors.Join(last, ctx.Err()))
}

// heirs returns the other voters that answer, the furthest first.
func (n *Node) heirs() []MemberStatus {
	heirs := slices.DeleteFunc(n.Members(), func(m MemberStatus) bool {
		return !m.Voter || m.ID == n.cfg.ID || !n.answers(m)
	})
	slices.SortStableFunc(heirs, func(a, b MemberStatus) int { return cmp.Compare(b.Match, a.Match) })
	return heirs
}

// alone says whether there is no other voter.
func (n *Node) alone() bool {
	others, _ := n.otherVoters()
	return len(others) == 0
}

func (n *Node) transferTo(ctx context.Context, r *raft.Raft, id string) error {
	begun, ended := n.handing.begin()
	if !begun {
		return ErrStopped
	}
	future := r.LeadershipTransferToServer(raft.ServerID(id), raft.ServerAddress(id))
	done := make(chan error, 1)
	go func() { // ends within two election timeouts
		defer ended()
		done <- future.Error()
	}()
	select {
	case err := <-done:
		if err != nil && r.State() != raft.Leader {
			err = nil
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
