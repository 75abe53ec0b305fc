package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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
	// Every is the time between asks; 0: one second. Permits that hold only briefly are asked for more often.
	Every time.Duration
	// Timeout is how long an answer may take before another peer is tried; 0: 1.5 seconds. It is shortened for permits
	// that hold only briefly.
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

// Validate says what is wrong with the configuration.
func (c ClientConfig) Validate() error {
	switch {
	case c.Open == nil:
		return errors.New("permit client: open: is required")
	case c.Open.GetHolder() == permitpb.Holder_HOLDER_UNSPECIFIED:
		return errors.New("permit client: open.holder: is required")
	case c.Holder == nil:
		return errors.New("permit client: holder: is required")
	case c.Every < 0 || c.Timeout < 0 || c.Return < 0:
		return fmt.Errorf("permit client: every %s, timeout %s, return %s: must not be negative",
			c.Every, c.Timeout, c.Return)
	}
	return validatePeers("permit client: peers", c.Peers)
}

// Client holds a permit: it asks one of its peers again and again, and hands each answer to the holder.
type Client struct {
	cfg    ClientConfig
	count  *clientCounters
	kick   chan struct{}
	wakes  <-chan struct{}
	choice *chooser
	// conns are the connections to the peers, where there are. A link uses that of its peer alone.
	conns   []*grpc.ClientConn
	patient time.Duration
	denied  bool

	mu     sync.Mutex
	id     string
	peer   string
	last   *permit.Permit
	reason error
}

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

// RenewEvery is how often a holder asks, if nothing else is configured.
const RenewEvery = time.Second

// NewClient fails on a wrong configuration.
func NewClient(cfg ClientConfig) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Clock == nil {
		cfg.Clock = permit.SystemClock()
	}
	if cfg.Every == 0 {
		cfg.Every = RenewEvery
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 1500 * time.Millisecond
	}
	if cfg.Return == 0 {
		cfg.Return = 10 * time.Second
	}
	if cfg.NewSession == nil {
		cfg.NewSession = uuid.NewString
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Client{
		cfg: cfg, count: newClientCounters(cfg.Metrics), kick: make(chan struct{}, 1),
		choice: newChooser(len(cfg.Peers)), conns: make([]*grpc.ClientConn, len(cfg.Peers)), id: cfg.Open.GetSession(),
	}
	if w, ok := cfg.Holder.(permit.Waker); ok {
		c.wakes = w.Wakes()
	}
	if c.id == "" {
		c.id = cfg.NewSession()
	}
	return c, nil
}

// Ask makes the client ask now. It never blocks; several calls may become one ask.
func (c *Client) Ask() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// Status says how the client stands.
func (c *Client) Status() ClientStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := ClientStatus{Peer: c.peer, Session: c.id, Left: max(0, c.last.Left(c.cfg.Clock.Now()))}
	if c.last != nil {
		st.Revision = c.last.Revision
	}
	if c.reason != nil {
		st.Error = c.reason.Error()
	}
	return st
}

func (c *Client) session() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.id
}

// Run asks until ctx ends. Then it tells the peer if the holder has released what it held. It is called once.
func (c *Client) Run(ctx context.Context) error {
	defer func() {
		for i := range c.conns {
			c.disconnect(i)
		}
	}()
	for ctx.Err() == nil {
		i, err := c.choice.next()
		if err != nil {
			least := time.Duration(0)
			if c.denied {
				least = retryDenied
			}
			c.denied = true
			c.choice.rest(ctx, least)
			continue
		}
		l, p, err := c.connect(ctx, i)
		for err == nil && l != nil {
			i = l.index
			var nearer *reached
			if nearer, err = c.serve(ctx, l, p); nearer != nil {
				l, p = nearer.link, nearer.permit
				c.choice.failed[l.index] = false
			} else {
				l = nil
			}
		}
		if ctx.Err() == nil {
			c.failed(i, err)
		}
	}
	return nil
}

// failed notes why a peer was left.
func (c *Client) failed(i int, err error) {
	c.count.failed.Inc()
	c.choice.failed[i] = true
	switch status.Code(err) {
	case codes.PermissionDenied, codes.InvalidArgument, codes.Unimplemented, codes.Unauthenticated:
	default:
		c.denied = false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peer = ""
	if status.Code(err) == codes.FailedPrecondition {
		old := c.id
		c.id = c.cfg.NewSession()
		c.cfg.Log.Warn("the session is closed, opening another", "session", old, "next", c.id)
	}
	if c.reason == nil || c.reason.Error() != err.Error() { // a peer that stays away is not worth a line each time
		c.cfg.Log.Info("stream of permits ended", "peer", c.cfg.Peers[i].Name, "error", err)
	}
	c.reason = err
}

// take hands an answer to the holder.
func (c *Client) take(l *link, p *permit.Permit) {
	c.mu.Lock()
	had := c.last.Left(c.cfg.Clock.Now()) > 0
	// An answer without a right must not take away one that still holds.
	use := p.Holds > 0 || p.Revision > 0 && !had
	c.peer = c.cfg.Peers[l.index].Name
	if use {
		c.last = p
	}
	if p.Holds > 0 {
		c.reason = nil
	}
	c.mu.Unlock()
	if p.Holds > 0 {
		c.count.granted.Inc()
		c.choice.worked()
		c.denied, c.patient = false, 0
	} else {
		c.count.empty.Inc()
	}
	if use {
		c.cfg.Holder.Granted(p)
	}
}
