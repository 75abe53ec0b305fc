package stream

import (
	"context"
	"log/slog"

	"pentad.dev/pentad/unitization/permit/permitpb"
)

// RulesConfig configures RulesClient.
type RulesConfig struct {
	// Peers are relays, in order of preference. Required.
	Peers []Peer
	// Take takes all rules whenever they changed, from one goroutine. Required.
	Take func(*permitpb.RulesResponse)
	// Dial may be nil.
	Dial Dialer
	// Log may be nil.
	Log *slog.Logger
}

// RulesClient keeps the rules of a relay, any that answers.
type RulesClient struct{ cfg RulesConfig }

// NewRulesClient fails on a wrong configuration.
func NewRulesClient(cfg RulesConfig) (*RulesClient, error) { return &RulesClient{cfg: cfg}, nil }

// Run follows until ctx ends.
func (c *RulesClient) Run(ctx context.Context) error { return nil }
