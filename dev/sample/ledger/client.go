package ledger

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/dev/sample/ledger/ledgerpb"
)

// ClientConfig is what a Client needs.
type ClientConfig struct {
	Store string
	// Members are all members of the store, nearest first: reads go to the first that answers.
	Members []Peer
	// Dial may be nil.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Patience is how long a write that no member takes is tried again; 0: each member is asked once.
	Patience time.Duration
}

// Client writes to whichever member is the primary, and remembers it. It is safe for concurrent use.
type Client struct {
	cfg     ClientConfig
	clients map[string]ledgerpb.LedgerClient
	conns   []*grpc.ClientConn

	mu      sync.Mutex
	primary string
}

// retryWrite is the pause between two rounds of all members.
const retryWrite = 20 * time.Millisecond

// attemptWithin bounds what one member may take: it may be cut off, and then the others are worth asking. A write takes
// some milliseconds; one that is asked again is written once all the same.
const attemptWithin = 500 * time.Millisecond

// NewClient makes connections when they are first used. Close gives them back.
func NewClient(cfg ClientConfig) (*Client, error) {
	if cfg.Store == "" || len(cfg.Members) == 0 {
		return nil, fmt.Errorf("ledger client: store %q, %d members: both are required", cfg.Store, len(cfg.Members))
	}
	c := &Client{cfg: cfg, clients: map[string]ledgerpb.LedgerClient{}, primary: cfg.Members[0].Member}
	for _, p := range cfg.Members {
		conn, err := dial(p, cfg.Dial)
		if err != nil {
			c.Close()
			return nil, fmt.Errorf("ledger client: member %s: %w", p.Member, err)
		}
		c.conns = append(c.conns, conn)
		c.clients[p.Member] = ledgerpb.NewLedgerClient(conn)
	}
	return c, nil
}

// Close ends all connections.
func (c *Client) Close() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// Append writes once. Errors: ErrNotPrimary, no member takes writes now, and none has written; ErrUnknown, a member may
// have written, the same id may be asked again at any time; else that of ctx, with the same meaning as ErrUnknown.
func (c *Client) Append(ctx context.Context, w *ledgerpb.Write) (*ledgerpb.AppendResponse, error) {
	until := time.Now().Add(c.cfg.Patience)
	unknown := false
	for {
		answer, err := c.round(ctx, w, &unknown)
		if err == nil || ctx.Err() != nil || status.Code(err) == codes.InvalidArgument {
			return answer, err
		}
		if !time.Now().Before(until) {
			if unknown {
				return nil, fmt.Errorf("%w: %w", ErrUnknown, err)
			}
			return nil, fmt.Errorf("store %s: %w: %w", c.cfg.Store, ErrNotPrimary, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryWrite):
		}
	}
}

// round asks each member once, the primary first, and whom a member names next.
func (c *Client) round(ctx context.Context, w *ledgerpb.Write, unknown *bool) (*ledgerpb.AppendResponse, error) {
	c.mu.Lock()
	next := c.primary
	c.mu.Unlock()
	var left []string
	for _, p := range c.cfg.Members {
		left = append(left, p.Member)
	}
	var errs []error
	for len(left) > 0 && ctx.Err() == nil {
		if !slices.Contains(left, next) {
			next = left[0]
		}
		left = slices.DeleteFunc(left, func(m string) bool { return m == next })
		answer, err := c.attempt(ctx, next, w)
		if err == nil {
			return answer, nil
		}
		switch status.Code(err) {
		case codes.InvalidArgument:
			return nil, err
		case codes.FailedPrecondition:
		default:
			*unknown = true
		}
		errs = append(errs, fmt.Errorf("%s: %w", next, err))
		next = named(err)
	}
	return nil, errors.Join(append(errs, ctx.Err())...)
}

// attempt asks one member, and remembers who took a write. One that hangs is not the first to be asked any more.
func (c *Client) attempt(ctx context.Context, member string, w *ledgerpb.Write) (*ledgerpb.AppendResponse, error) {
	bounded, cancel := context.WithTimeout(ctx, attemptWithin)
	defer cancel()
	answer, err := c.clients[member].Append(bounded, &ledgerpb.AppendRequest{Store: c.cfg.Store, Write: w})
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.primary = member
	case c.primary == member && bounded.Err() != nil:
		c.primary = ""
	}
	return answer, err
}

// named is the primary that a refusal names.
func named(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == errorDomain {
			return info.GetMetadata()[primaryKey]
		}
	}
	return ""
}

// Find asks the first member that answers, which may not have heard of the last writes yet.
func (c *Client) Find(ctx context.Context, r *ledgerpb.FindRequest) (*ledgerpb.FindResponse, error) {
	r.Store = c.cfg.Store
	var errs []error
	for _, p := range c.cfg.Members {
		bounded, cancel := context.WithTimeout(ctx, attemptWithin)
		answer, err := c.clients[p.Member].Find(bounded, r)
		cancel()
		if err == nil || status.Code(err) == codes.InvalidArgument {
			return answer, err
		}
		errs = append(errs, fmt.Errorf("%s: %w", p.Member, err))
	}
	return nil, errors.Join(errs...)
}
