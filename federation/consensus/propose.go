package consensus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// Propose appends a command to the log and returns, once it was committed and applied here, its index and what the
// state machine answered. Only the leader can: ErrNotLeader, ErrDiskFull and ErrTooLarge mean that nothing was
// proposed, ErrOutcomeUnknown that it may or may not be applied, now or later. It never outlasts ctx. The command must
// not be changed afterwards.
func (n *Node) Propose(ctx context.Context, command []byte) (index uint64, result []byte, err error) {
	defer n.metrics.proposed(time.Now(), &err)
	if len(command) > MaxCommandSize {
		return 0, nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(command), MaxCommandSize)
	}
	r := n.raft.Load()
	if r == nil {
		return 0, nil, fmt.Errorf("%w: the node was not started", ErrNotLeader)
	}
	if err := ctx.Err(); err != nil {
		return 0, nil, fmt.Errorf("%w: nothing was proposed: %w", ErrNoQuorum, err)
	}
	// A follower's main loop would say the same, but it may be busy with its disk.
	if r.State() != raft.Leader {
		return 0, nil, n.notLeader(r)
	}
	for {
		begun, ended := n.proposing.begin()
		if !begun {
			return 0, nil, fmt.Errorf("%w: %w", ErrNotLeader, ErrStopped)
		}
		future := r.Apply(command, enqueuePatience)
		done := make(chan error, 1)
		go func() { // ends with the future: at the latest when the leadership ends
			defer ended()
			done <- future.Error()
		}()
		select {
		case err = <-done:
		case <-ctx.Done():
			return 0, nil, fmt.Errorf("%w: not committed in time: %w", ErrOutcomeUnknown, ctx.Err())
		case <-n.stopped:
			return 0, nil, fmt.Errorf("%w: %w", ErrOutcomeUnknown, ErrStopped)
		}
		if errors.Is(err, raft.ErrEnqueueTimeout) && ctx.Err() == nil {
			continue // raft did not take the command, so it is not in the log
		}
		if err != nil {
			return 0, nil, n.refused(r, err)
		}
		switch answer := future.Response().(type) {
		case []byte:
			return future.Index(), answer, nil
		case error: // committed, but this node ended itself while it applied it
			return 0, nil, fmt.Errorf("%w: %w", ErrOutcomeUnknown, answer)
		default:
			return 0, nil, fmt.Errorf("%w: unexpected answer %T", ErrOutcomeUnknown, answer)
		}
	}
}

// enqueuePatience is how long a proposal waits for raft's main loop, which may be busy with the disk, before it looks
// at its context again: raft waits for a time, not for a context.
const enqueuePatience = 50 * time.Millisecond

// refused turns raft's error into ours. What raft answers before it has stored the command is certain; after that, the
// command may be committed by another leader.
func (n *Node) refused(r *raft.Raft, err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader):
		return n.notLeader(r)
	case errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return fmt.Errorf("%w: the leadership is being handed over", ErrNotLeader)
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return fmt.Errorf("%w: the leader was too busy to take the command", ErrNoQuorum)
	case errors.Is(err, ErrDiskFull):
		return err
	case errors.Is(err, raft.ErrLeadershipLost):
		return fmt.Errorf("%w: the leadership was lost while it was in flight", ErrOutcomeUnknown)
	default: // also: the node stops, the disk failed
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
}
