package feed

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// PublisherConfig configures a Publisher.
type PublisherConfig struct {
	// Set holds the feeds; those that this process writes (Begin) are published. Required.
	Set *Set
	// One are servers, nearest first: one is published to, the nearest that answers.
	One []Peer
	// Each are relays: every one is published to.
	Each []Peer
	// OnAhead is called, from a goroutine of Run, when a reader holds a position above the writer's own (rule 4): the owner
	// takes a higher incarnation (NextIncarnation over l.Highest()) and calls Begin with the whole set again, or, if it has
	// lost its lease, Resign. Until then the feed stands still. Required.
	OnAhead func(id ID, highest Position)
	// OnRejected hears of records that a receiver cannot use (rule 17); may be nil.
	OnRejected func(peer string, id ID, rejections []Rejection)
	// Heartbeat is as in ServiceConfig; it is also how often the writer's mark is sent.
	Heartbeat time.Duration
	// Dialer is for tests.
	Dialer Dialer
	// Log may be nil.
	Log *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer
}

// Publisher brings the feeds that this process writes to one of the servers and to each relay.
type Publisher struct{ cfg PublisherConfig }

// NewPublisher fails on a wrong configuration.
func NewPublisher(cfg PublisherConfig) (*Publisher, error) { return &Publisher{cfg: cfg}, nil }

// Run publishes until ctx ends.
func (p *Publisher) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Status is the state of the connections: One, then Each, in the configured order.
func (p *Publisher) Status() []PeerStatus { return nil }
