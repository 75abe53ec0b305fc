package server

import (
	"time"

	"pentad.dev/pentad/federation/apiserver/storage"
	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/unitization/permit/stream"
)

// Adjust is how a simulation reaches into the rooms of a Core before they open: to watch what they do, to give them
// other times and limits, or to break a rule. A server's is zero and changes nothing.
type Adjust struct {
	Consensus func(*consensus.Config)
	Intent    func(*intent.Config)
	Feeds     func(*feed.Options)
	Permits   func(*stream.RootConfig)
	// ShortPermits lets permits be declared that an election ends.
	ShortPermits bool
	// Clock is the time of day.
	Clock func() time.Time
	// Careless breaks rules of the leader's care for the servers.
	Careless Carelessness
}

// adjusted is config as fn leaves it.
func adjusted[C any](config C, fn func(*C)) C {
	if fn != nil {
		fn(&config)
	}
	return config
}

// Backend is the replicated intent as this server reaches it, for what stands on the Core.
func (s *Core) Backend() storage.Backend { return s.backend }

// Node is the server's part in Raft.
func (s *Core) Node() *consensus.Node { return s.node }

// Feeds are what the server holds of every feed.
func (s *Core) Feeds() *feed.Set { return s.feeds }
