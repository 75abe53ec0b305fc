package stream

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
)

// ClientConfig configures a Client.
type ClientConfig struct {
	// Peers are whom to ask, in order of preference. Required.
	Peers []Peer
	// Open says who holds. An empty session is made by NewSession. Required.
	Open *permitpb.Open
	// Holder takes the permits. It may also be a permit.Waker and a permit.Releaser. Required.
	Holder Holder
	// Clock is the holder's; nil: permit.SystemClock.
	Clock permit.Clock
	// Every is the time between asks; 0: one second.
	Every time.Duration
	// Timeout is how long an answer may take before another peer is tried; 0: 1.5 seconds.
	Timeout time.Duration
	// Return is how long to stay with a peer before a more preferred one is tried again; 0: ten seconds.
	Return time.Duration
	// NewSession makes the id of the next session when this one is closed; nil: a random UUID.
	NewSession func() string
	// Dial may be nil.
	Dial Dialer
	// Log may be nil.
	Log *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer
}

// Client holds a permit: it asks one of its peers again and again, and hands each answer to the holder.
type Client struct{ cfg ClientConfig }

// ClientStatus is the state of a client for operators.
type ClientStatus struct {
	// Peer is whom the client asks now; empty: nobody answers.
	Peer string `json:"peer,omitempty"`
	// Session is the id under which it asks.
	Session string `json:"session"`
	// Revision is that of the last answer.
	Revision uint64 `json:"revision,omitempty"`
	// Left is how long the last answer still holds.
	Left time.Duration `json:"left"`
	// Error is why the last stream ended.
	Error string `json:"error,omitempty"`
}

// NewClient fails on a wrong configuration.
func NewClient(cfg ClientConfig) (*Client, error) { return nil, errors.New("not yet") }

// Run asks until ctx ends. Then it tells the peer if the holder has released what it held.
func (c *Client) Run(ctx context.Context) error { return nil }

// Ask makes the client ask now. It never blocks; several calls may become one ask.
func (c *Client) Ask() {}

// Status says how the client stands.
func (c *Client) Status() ClientStatus { return ClientStatus{} }
