package stream

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/unitization/permit/permitpb"
)

// Rules tells the rules, and again when they have changed.
func (s *Server) Rules(_ *permitpb.RulesRequest, stream grpc.ServerStreamingServer[permitpb.RulesResponse]) error {
	if s.cfg.Rules == nil {
		return status.Error(codes.Unimplemented, "this hop has no rules to tell")
	}
	for {
		rules, changed := s.cfg.Rules()
		if rules == nil {
			rules = &permitpb.RulesResponse{}
		}
		if err := stream.Send(rules); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// RulesConfig configures a RulesClient.
type RulesConfig struct {
	// Peers are relays, in order of preference. Required.
	Peers []Peer
	// Take takes all rules whenever they changed, from one goroutine. Required.
	Take func(*permitpb.RulesResponse)
	// Timeout is how long the first answer of a relay may take; 0: 1.5 seconds.
	Timeout time.Duration
	// Dial may be nil.
	Dial Dialer
	// Log may be nil.
	Log *slog.Logger
}

// Validate says what is wrong with the configuration.
func (c RulesConfig) Validate() error {
	if c.Take == nil {
		return errors.New("permit rules: take: is required")
	}
	return validatePeers("permit rules: peers", c.Peers)
}

// RulesClient keeps the rules of the nearest relay that answers. Rules are for routing only: while no relay answers,
// what was taken last stays good.
type RulesClient struct {
	cfg    RulesConfig
	choice *chooser
}

// NewRulesClient fails on a wrong configuration.
func NewRulesClient(cfg RulesConfig) (*RulesClient, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 1500 * time.Millisecond
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &RulesClient{cfg: cfg, choice: newChooser(len(cfg.Peers))}, nil
}

// Run follows until ctx ends.
func (c *RulesClient) Run(ctx context.Context) error {
	reason := ""
	for ctx.Err() == nil {
		i, err := c.choice.next()
		if err != nil {
			c.choice.rest(ctx, 0)
			continue
		}
		err = c.follow(ctx, c.cfg.Peers[i])
		c.choice.failed[i] = true
		if ctx.Err() == nil && err.Error() != reason {
			reason = err.Error()
			c.cfg.Log.Info("stream of rules ended", "peer", c.cfg.Peers[i].Name, "error", err)
		}
	}
	return nil
}

// follow takes what one relay tells until the stream ends.
func (c *RulesClient) follow(ctx context.Context, p Peer) error {
	conn, err := Dial(p, c.cfg.Dial)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slow := time.AfterFunc(c.cfg.Timeout, func() { cancel(errSilent) })
	defer slow.Stop()
	stream, err := permitpb.NewPermitsClient(conn).Rules(ctx, &permitpb.RulesRequest{})
	if err != nil {
		return err
	}
	for {
		rules, err := stream.Recv()
		if err != nil {
			return err
		}
		slow.Stop()
		c.choice.worked()
		c.cfg.Take(rules)
	}
}
