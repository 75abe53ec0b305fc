package feed

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pentad.dev/pentad/federation/feed/feedpb"
)

// ServiceConfig configures a Service.
type ServiceConfig struct {
	// Set is what is served and what is published into. Required.
	Set *Set
	// Authorize says whether the caller may publish the feed; ctx is the stream's, with the peer's identity. Nil: nobody
	// may. IntentID is never accepted.
	Authorize func(ctx context.Context, id ID) error
	// AuthorizeRead says whether the caller may read the feed. Nil: nobody may.
	AuthorizeRead func(ctx context.Context, id ID) error
	// Validator judges published records; may be nil.
	Validator Validator
	// Heartbeat is the time between signs of life on an idle stream; 0: one second. A stream of which nothing is heard for
	// four heartbeats (at least two seconds) is closed.
	Heartbeat time.Duration
	// MaxAhead is how far an incarnation may lie in the future of this process's clock (rule 5); 0: a day.
	MaxAhead time.Duration
	// Log may be nil.
	Log *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer
}

// Validate says what is wrong with the configuration.
func (c ServiceConfig) Validate() error {
	if c.Set == nil {
		return errors.New("feed service: set: is required")
	}
	if c.Heartbeat < 0 {
		return errors.New("feed service: heartbeat: must not be negative")
	}
	return nil
}

// Service is the server's side of both streams: it takes what writers publish and gives readers what the set holds.
type Service struct {
	feedpb.UnimplementedFeedsServer
	cfg ServiceConfig
}

// NewService returns a service to be registered with feedpb.RegisterFeedsServer. It fails on a wrong configuration.
func NewService(cfg ServiceConfig) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Service{cfg: cfg}, nil
}
