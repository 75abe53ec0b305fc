package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/permit/stream"
	"pentad.dev/pentad/unitization/route"
)

// ClientConfig configures a Client.
type ClientConfig struct {
	// Relays are asked for rules, in order of preference. Required.
	Relays []stream.Peer
	// Service is the target of the channel, as the Unitization names it. Required.
	Service string
	// Patience is how long, from its start, a refused call is tried again, within its deadline; 0: it is only sent once
	// more, when the refusal names another cell.
	Patience time.Duration
	// Observer is told of each refusal and of what became of it. It must be quick. May be nil.
	Observer func(Event)
	// Dial may be nil.
	Dial stream.Dialer
	// Log may be nil.
	Log *slog.Logger
}

// Validate says what is wrong with the configuration.
func (c ClientConfig) Validate() error {
	switch {
	case len(c.Relays) == 0:
		return errors.New("guard client: relays: are required")
	case c.Service == "":
		return errors.New("guard client: service: is required")
	case c.Patience < 0:
		return fmt.Errorf("guard client: patience: %s: must not be negative", c.Patience)
	}
	return nil
}

// Client is what callers of a service put before their calls: it stamps the shard, and carries on when a guard refuses.
type Client struct {
	cfg    ClientConfig
	rules  *stream.RulesClient
	tables atomic.Pointer[route.Tables]
	// ready is closed when there are rules.
	ready chan struct{}
	once  sync.Once
	count struct{ calls, refused, readdressed, retried, givenUp atomic.Uint64 }
}

// Stats are counts since the start.
type Stats struct {
	// Calls of services of units, each once however often it was tried.
	Calls uint64 `json:"calls"`
	// Refused attempts: the raw count, before anything was tried again.
	Refused uint64 `json:"refused"`
	// Readdressed attempts went to the cell that a refusal named, Retried ones the usual way.
	Readdressed uint64 `json:"readdressed"`
	Retried     uint64 `json:"retried"`
	// GivenUp calls failed with a refusal.
	GivenUp uint64 `json:"givenUp"`
}

// NewClient fails on a wrong configuration.
func NewClient(cfg ClientConfig) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Client{cfg: cfg, ready: make(chan struct{})}
	var err error
	c.rules, err = stream.NewRulesClient(stream.RulesConfig{
		Peers: cfg.Relays, Take: c.takeRules, Dial: cfg.Dial, Log: cfg.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("guard client: %w", err)
	}
	return c, nil
}

// Run keeps the rules until ctx ends. Calls go on with the last ones.
func (c *Client) Run(ctx context.Context) error { return unlessDone(c.rules.Run(ctx)) }

// Stats are the counts.
func (c *Client) Stats() Stats {
	return Stats{
		c.count.calls.Load(), c.count.refused.Load(), c.count.readdressed.Load(), c.count.retried.Load(),
		c.count.givenUp.Load(),
	}
}

func (c *Client) takeRules(r *permitpb.RulesResponse) {
	if tables := nextTables(c.tables.Load(), r, c.cfg.Log); tables != nil {
		c.tables.Store(tables)
		c.once.Do(func() { close(c.ready) })
	}
}

// ErrNoRules is of calls whose deadline came before any rules did.
var ErrNoRules = errors.New("no relay has told the rules yet")

// table is the service's; nil when it is not of units. It waits for the first rules.
func (c *Client) table(ctx context.Context) (*route.Table, error) {
	select {
	case <-c.ready:
	default:
		select {
		case <-c.ready:
		case <-ctx.Done():
			return nil, fmt.Errorf("service %s: %w: %w", c.cfg.Service, ErrNoRules, ctx.Err())
		}
	}
	return c.tables.Load().Service(c.cfg.Service), nil
}

// KeyCountError is a call whose sharding key is not there exactly once.
type KeyCountError struct {
	Header string
	Values int
}

func (e *KeyCountError) Error() string {
	return fmt.Sprintf("header %s: has %d values: must be exactly one sharding key", e.Header, e.Values)
}

// stamp is the shard to send, from the values of the key's header; empty when none is needed: the Unitization has one
// shard, or a read has no key.
func stamp(t *route.Table, keys []string, read bool) (string, error) {
	if t.Shards() == 1 || len(keys) == 0 && read {
		return "", nil
	}
	if len(keys) != 1 {
		return "", &KeyCountError{t.Header(), len(keys)}
	}
	shard, err := t.Shard(keys[0])
	if err != nil {
		return "", err
	}
	return route.FormatShard(shard), nil
}
