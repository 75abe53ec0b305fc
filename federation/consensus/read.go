package consensus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// ReadIndex returns the index of the last command that a linearizable read that begins now must see, 0 if there is
// none; this node's state machine has applied it. Only the leader can: ErrNotLeader; ErrNoQuorum if no majority
// confirmed in time that it still is. It never outlasts ctx.
//
// It is the ReadIndex of Ongaro's dissertation (6.4), with the care that DESIGN.md explains. Any number of readers
// share the messages that are sent after they began.
func (n *Node) ReadIndex(ctx context.Context) (index uint64, err error) {
	defer n.metrics.read(time.Now(), &err)
	r := n.raft.Load()
	if r == nil {
		return 0, fmt.Errorf("%w: the node was not started", ErrNotLeader)
	}
	// The number comes before the look at the state: a majority of which this node is one must have been in the term
	// after the read began.
	number := n.rounds.stamp()
	if r.State() != raft.Leader {
		return 0, n.notLeader(r)
	}
	term := r.CurrentTerm()
	quorum := n.rounds.of(term)
	if n.cfg.break_.joinInFlight {
		number = quorum.soonest(number)
	}
	select {
	case n.kick <- struct{}{}:
	default: // the trigger has not looked yet, and will see to this read too
	}

	if err := n.waitOwnEntry(ctx, r, term); err != nil {
		return 0, err
	}
	commit := r.CommitIndex()
	if _, needed := n.otherVoters(); needed > 0 {
		if err := quorum.wait(ctx, number); err != nil {
			return 0, n.unconfirmed(r, err)
		}
	}
	if n.cfg.break_.trustAppliedIndex {
		for r.AppliedIndex() < commit {
			time.Sleep(time.Millisecond)
		}
		return commit, nil
	}
	return n.waitMachine(ctx, commit)
}

// waitOwnEntry waits until an entry of this term is committed. Until then a new leader does not know which entries of
// its predecessors are, and its commit index may lie before a write that was acknowledged.
func (n *Node) waitOwnEntry(ctx context.Context, r *raft.Raft, term uint64) error {
	if n.cfg.break_.skipOwnEntry {
		return nil
	}
	own := func() bool {
		newest, from := n.folder.store.newest()
		return newest == term && r.CommitIndex() >= from
	}
	if own() {
		return nil
	}
	// Only for the moment after an election; raft tells nobody of commits.
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !own() {
		if r.State() != raft.Leader || r.CurrentTerm() != term {
			return n.notLeader(r)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return n.unconfirmed(r, ctx.Err())
		}
	}
	return nil
}

// waitMachine waits until the state machine has applied the last command at or before the commit index. Raft's own
// applied index says what was queued for it, and entries that are not commands never reach it.
func (n *Node) waitMachine(ctx context.Context, commit uint64) (uint64, error) {
	for i := commit; i > n.machine.done.value(); i-- {
		var entry raft.Log
		if err := n.folder.log.GetLog(i, &entry); errors.Is(err, raft.ErrLogNotFound) {
			break // it is in a snapshot, which was taken from this machine or restored into it
		} else if err != nil {
			return 0, fmt.Errorf("read: entry %d: %w", i, err)
		}
		if entry.Type != raft.LogCommand {
			continue
		}
		if err := n.machine.done.wait(ctx, i); err != nil {
			return 0, fmt.Errorf("read: the state machine has not applied entry %d yet: %w", i, err)
		}
		return i, nil
	}
	return n.machine.done.value(), nil
}

// unconfirmed says why a majority did not confirm the leadership.
func (n *Node) unconfirmed(r *raft.Raft, err error) error {
	if errors.Is(err, ErrNotLeader) {
		return n.notLeader(r)
	}
	return fmt.Errorf("%w: no majority confirmed in time that %s leads: %w", ErrNoQuorum, n.cfg.ID, err)
}

// notLeader says that this node is not the leader, and whether there is one to ask.
func (n *Node) notLeader(r *raft.Raft) error {
	_, id := r.LeaderWithID()
	switch {
	case n.state(r) == raft.Shutdown:
		return fmt.Errorf("%w: %w", ErrNotLeader, ErrStopped)
	case id == "":
		return fmt.Errorf("%w: no leader is known: %w", ErrNotLeader, ErrNoQuorum)
	case string(id) == n.cfg.ID:
		return fmt.Errorf("%w any more", ErrNotLeader)
	}
	return fmt.Errorf("%w: %s is", ErrNotLeader, id)
}

// triggerRounds has a heartbeat sent to everyone whenever a read waits. Raft's VerifyLeader does that; what it says of
// the leadership is not used, because it takes the answer to any message for one, also to an earlier one.
func (n *Node) triggerRounds(ctx context.Context, r *raft.Raft) {
	for {
		select {
		case <-n.kick:
		case <-ctx.Done():
			return
		}
		quorum, number := n.rounds.of(r.CurrentTerm()), n.rounds.stamp()
		r.VerifyLeader()
		// One such heartbeat at a time, for about a round trip. A read that comes meanwhile is served by one of the
		// replication's own messages, or by the next turn.
		wait, cancel := context.WithTimeout(ctx, n.cfg.HeartbeatTimeout/10)
		quorum.wait(wait, number)
		cancel()
	}
}

// WaitApplied returns when this node's state machine has applied the command at that index, as returned by Propose or
// ReadIndex of any node. (For the index of an entry that is no command it waits for the next command.)
func (n *Node) WaitApplied(ctx context.Context, index uint64) error {
	if err := n.machine.done.wait(ctx, index); err != nil {
		return fmt.Errorf("entry %d is not applied yet at %s: %w", index, n.cfg.ID, err)
	}
	return nil
}
