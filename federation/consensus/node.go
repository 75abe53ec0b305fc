// Package consensus replicates opaque commands over a fixed set of voters with Raft. See DESIGN.md.
package consensus

import (
	"context"
	"crypto/tls"
)

// Node is one voter.
type Node struct {
	cfg Config
}

type plants struct{}
type gate interface{}

func checkServerTLS(*tls.Config) error { return nil }

// New takes the data folder and brings it in order; an empty one becomes that of a new cluster of Config.Voters.
// Run must be called, or Close.
func New(cfg Config) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Node{cfg: cfg.withDefaults()}, nil
}

// Run takes part in the cluster until ctx ends, or until the node had to end itself, which is an error. It returns
// when everything has stopped and the folder is free. It is called once.
func (n *Node) Run(ctx context.Context) error { <-ctx.Done(); return n.Close() }

// Close frees the folder of a node that was never run. After Run it does nothing.
func (n *Node) Close() error { return nil }

// Propose appends a command to the log and returns, once it was committed and applied here, its index and what the
// state machine answered. Only the leader can: ErrNotLeader, ErrDiskFull and ErrTooLarge mean that nothing was proposed,
// ErrOutcomeUnknown that it may or may not be applied, now or later. It never outlasts ctx.
func (n *Node) Propose(ctx context.Context, command []byte) (index uint64, result []byte, err error) {
	return 0, nil, ErrNotLeader
}

// ReadIndex returns the index of the last command that a linearizable read that begins now must see, 0 if there is
// none; this node's state machine has applied it. Only the leader can: ErrNotLeader; ErrNoQuorum if no majority
// confirmed in time that it still is. It never outlasts ctx.
func (n *Node) ReadIndex(ctx context.Context) (index uint64, err error) { return 0, ErrNotLeader }

// WaitApplied returns when this node's state machine has applied the command at that index, as returned by Propose or
// ReadIndex of any node. (For the index of an entry that is no command it waits for the next command.)
func (n *Node) WaitApplied(ctx context.Context, index uint64) error { return ctx.Err() }
