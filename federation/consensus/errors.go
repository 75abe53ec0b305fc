package consensus

import "errors"

var (
	// ErrNotLeader says that this node is not the leader and that nothing was proposed or read: ask the node that
	// Leader names. It comes together with ErrNoQuorum when this node knows of no leader.
	ErrNotLeader = errors.New("not the leader")

	// ErrNoQuorum says that no majority of the voters answered in time. Nothing was proposed or read.
	ErrNoQuorum = errors.New("no quorum of voters")

	// ErrOutcomeUnknown says that a proposal went into the log and that this node cannot tell whether it will be
	// committed. A retry is safe only if the state machine applies a repeated command once (same command id).
	ErrOutcomeUnknown = errors.New("outcome of the proposal is unknown")

	// ErrDiskFull says that the leader's disk has no room: nothing was proposed. It wraps the system's error.
	ErrDiskFull = errors.New("disk is full, the write is refused")

	// ErrTooLarge says that a command exceeds MaxCommandSize.
	ErrTooLarge = errors.New("command is too large")

	// ErrStopped says that the node has been stopped, or ended itself because its disk failed.
	ErrStopped = errors.New("node is stopped")

	// ErrFolder is wrapped by what New returns when the data folder cannot be used: another version, another
	// node's, in use by another process, damaged.
	ErrFolder = errors.New("data folder cannot be used")
)
