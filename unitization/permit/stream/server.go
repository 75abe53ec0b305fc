package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
)

// openWithin is how long a caller may take to say who it is.
const openWithin = 5 * time.Second

// ServerConfig configures a Server.
type ServerConfig struct {
	// Grantor answers. Required.
	Grantor Grantor
	// Authorize says whether the caller may hold what it names; ctx is the stream's, with the peer's identity. It may
	// set the name, cluster and center to the identity's. Nil: nobody may.
	Authorize func(ctx context.Context, open *permitpb.Open) error
	// Rules are the present rules, and a channel that is closed when there are others; nil: this hop has none to tell.
	Rules func() (*permitpb.RulesResponse, <-chan struct{})
	// Log may be nil.
	Log *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer
}

// Validate says what is wrong with the configuration.
func (c ServerConfig) Validate() error {
	if c.Grantor == nil {
		return errors.New("permit server: grantor: is required")
	}
	return nil
}

// Server is the service Permits, to be registered with permitpb.RegisterPermitsServer.
type Server struct {
	permitpb.UnimplementedPermitsServer
	cfg   ServerConfig
	count *serverCounters
}

// NewServer fails on a wrong configuration. Its streams end with the gRPC server's connections.
func NewServer(cfg ServerConfig) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{cfg: cfg, count: newServerCounters(cfg.Metrics)}, nil
}

// holdStream is a holder's stream as the server sees it.
type holdStream = grpc.BidiStreamingServer[permitpb.HoldRequest, permitpb.HoldResponse]

// Hold serves one holder until its stream ends. A caller that breaks the protocol loses its stream, nothing else.
func (s *Server) Hold(stream holdStream) error {
	s.count.streams.Inc()
	defer s.count.streams.Dec()
	requests, over := receive(stream)
	open, err := s.opened(stream.Context(), requests, over)
	if err == nil {
		err = s.hold(stream, open, requests, over)
	}
	if err == nil || stream.Context().Err() != nil {
		return err
	}
	s.count.refused.Inc()
	stream.SetTrailer(metadata.Pairs(refusedBy, "1"))
	s.cfg.Log.Info("stream of permits refused", "holder", open.GetName(), "cluster", open.GetCluster(), "error", err)
	return refusal(err)
}

// receive receives in a goroutine of its own, which ends with the stream: so what is sent is sent by one goroutine, and
// hints need none.
func receive(stream holdStream) (<-chan *permitpb.HoldRequest, <-chan struct{}) {
	requests, over := make(chan *permitpb.HoldRequest), make(chan struct{})
	go func() {
		defer close(over)
		for {
			m, err := stream.Recv()
			if err != nil { // the caller has nothing more to ask
				return
			}
			select {
			case requests <- m:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	return requests, over
}

// opened waits for the first message.
func (s *Server) opened(
	ctx context.Context, requests <-chan *permitpb.HoldRequest, over <-chan struct{},
) (*permitpb.Open, error) {
	slow := time.NewTimer(openWithin)
	defer slow.Stop()
	select {
	case <-over:
		return nil, fmt.Errorf("%w: a stream begins with open", permit.ErrMalformed)
	case <-slow.C:
		return nil, fmt.Errorf("%w: a stream begins with open, within %s", permit.ErrMalformed, openWithin)
	case m := <-requests:
		open := m.GetOpen()
		if open == nil {
			return nil, fmt.Errorf("%w: a stream begins with open", permit.ErrMalformed)
		}
		if s.cfg.Authorize == nil {
			return open, fmt.Errorf("%w: this hop grants to nobody", permit.ErrDenied)
		}
		if err := s.cfg.Authorize(ctx, open); err != nil {
			return open, fmt.Errorf("%w: %w", permit.ErrDenied, err)
		}
		return open, nil
	}
}

// hold answers asks and sends hints.
func (s *Server) hold(
	stream holdStream, open *permitpb.Open, requests <-chan *permitpb.HoldRequest, over <-chan struct{},
) error {
	ctx := stream.Context()
	lease, err := s.cfg.Grantor.Open(ctx, open)
	if err != nil {
		return err
	}
	defer lease.Close()
	last := uint64(0)
	for {
		var response permitpb.HoldResponse
		select {
		case <-over:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-lease.Hints():
			s.count.hinting.Inc()
			response.Message = &permitpb.HoldResponse_Hint{Hint: &permitpb.Hint{}}
		case m := <-requests:
			s.count.asks.Inc()
			ask := m.GetAsk()
			if ask == nil || ask.GetNumber() <= last {
				return fmt.Errorf("%w: after ask %d: neither an ask nor a greater number", permit.ErrMalformed, last)
			}
			last = ask.GetNumber()
			answer, err := lease.Answer(ctx, ask)
			if err != nil {
				return err
			}
			response.Message = &permitpb.HoldResponse_Answer{Answer: answer}
		}
		if err := stream.Send(&response); err != nil {
			return err
		}
	}
}

// refusal is the status that a caller gets.
func refusal(err error) error {
	switch {
	case errors.Is(err, permit.ErrSessionClosed), errors.Is(err, permit.ErrUnregistered):
		return status.Error(codes.FailedPrecondition, err.Error())
	case errors.Is(err, permit.ErrDenied):
		return status.Error(codes.PermissionDenied, err.Error())
	case errors.Is(err, permit.ErrMalformed):
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return status.Error(codes.Unavailable, err.Error())
}
