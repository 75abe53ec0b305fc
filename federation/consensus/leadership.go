package consensus

import (
	"context"
	"time"
)

// Leadership is who leads, as far as this node knows.
type Leadership struct {
	// ID and Address name the leader; empty while none is known.
	ID, Address string
	// Term is the node's current term.
	Term uint64
	// Local says that this node is the leader.
	Local bool
}

// Status is what a node knows of itself and its cluster.
type Status struct {
	ID      string `json:"id"`
	State   string `json:"state"` // follower, candidate, leader, stopped
	Term    uint64 `json:"term"`
	Leader  string `json:"leader"` // id, empty while none is known
	Address string `json:"leaderAddress"`
	// Commit is the highest index that this node knows to be committed, Applied the index of the last command that
	// its state machine applied. Applied stays behind Commit by entries that are not commands.
	Commit  uint64 `json:"commit"`
	Applied uint64 `json:"applied"`
	// LastContact is how long ago this node heard its leader: 0 at the leader, -1 if never.
	LastContact time.Duration `json:"lastContact"`
	Voters      []Member      `json:"voters"`
}

// Leader returns the leader's id and address, empty while none is known, and this node's term.
func (n *Node) Leader() (id, address string, term uint64) { return "", "", 0 }

// IsLeader says whether this node is the leader, as far as it knows: another may have been elected since. Only
// Propose and ReadIndex can tell.
func (n *Node) IsLeader() bool { return false }

// Leadership returns who leads, and a channel that is closed when that may have changed.
func (n *Node) Leadership() (Leadership, <-chan struct{}) { return Leadership{}, nil }

// TransferLeadership hands the leadership to the voter with that id, or to the most up-to-date one if id is empty,
// and returns once this node is no longer the leader.
func (n *Node) TransferLeadership(ctx context.Context, id string) error { return ErrNotLeader }

// Status returns the node's state.
func (n *Node) Status() Status { return Status{} }
