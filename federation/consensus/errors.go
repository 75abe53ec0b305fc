package consensus

import (
	"errors"
	"fmt"
	"time"
)

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

	// ErrEnrolled says that the folder belongs to a cluster already, and for life.
	ErrEnrolled = errors.New("folder is enrolled in a cluster")

	// ErrNotEnrolled says that the folder belongs to no cluster yet.
	ErrNotEnrolled = errors.New("folder is not enrolled in a cluster")

	// ErrBootstrapped says that there is nothing left to bootstrap: the log is not empty.
	ErrBootstrapped = errors.New("cluster is bootstrapped already")

	// ErrNotMember says that the cluster's configuration has no member of that id.
	ErrNotMember = errors.New("not a member of the cluster")

	// ErrLastVoter says that nobody would be left to vote, or to lead.
	ErrLastVoter = errors.New("no other voter is left")

	// ErrLeads says that a leader cannot do that to itself: hand over the leadership first.
	ErrLeads = errors.New("node is the leader itself, hand over the leadership first")

	// ErrUnhealthy says that the voters that answer now would be no majority after the change: it would stop the cluster.
	ErrUnhealthy = errors.New("voters that answer would be no majority")

	// ErrLagging is what a LagError is.
	ErrLagging = errors.New("replica is too far behind to vote")

	// ErrPeer says that who is at the other end of a connection is not whom this node speaks to.
	ErrPeer = errors.New("peer is refused")
)

// LagError says how far behind a replica is that was to be promoted.
type LagError struct {
	ID string
	// Lag is how many entries it has still to confirm, Limit how many it may. LastHeard is how long ago it answered, -1
	// for never.
	Lag, Limit uint64
	LastHeard  time.Duration
}

// Error implements error.
func (e *LagError) Error() string {
	heard := "never"
	if e.LastHeard >= 0 {
		heard = e.LastHeard.Round(time.Millisecond).String() + " ago"
	}
	return fmt.Sprintf("%v: %s is %d entries behind, at most %d are allowed, and was last heard %s", ErrLagging, e.ID,
		e.Lag, e.Limit, heard)
}

// Unwrap implements errors.Unwrap.
func (e *LagError) Unwrap() error { return ErrLagging }
