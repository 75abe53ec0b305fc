package stream

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"pentad.dev/pentad/unitization/permit/permitpb"
)

// ServerConfig configures a Server.
type ServerConfig struct {
	// Grantor answers. Required.
	Grantor Grantor
	// Authorize says whether the caller may hold what it names; ctx is the stream's, with the peer's identity. It may set
	// the name. Nil: nobody may.
	Authorize func(ctx context.Context, open *permitpb.Open) error
	// Rules are the present rules, and a channel that is closed when there are others; nil: this hop has none to tell.
	Rules func() (*permitpb.RulesResponse, <-chan struct{})
	// Log may be nil.
	Log *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer
}

// Server is the service Permits, to be registered with permitpb.RegisterPermitsServer.
type Server struct {
	permitpb.UnimplementedPermitsServer
	cfg ServerConfig
}

// NewServer fails on a wrong configuration. Its streams end with the gRPC server's connections.
func NewServer(cfg ServerConfig) (*Server, error) { return &Server{cfg: cfg}, nil }
