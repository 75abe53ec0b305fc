package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"pentad.dev/pentad/unitization/permit"
)

// Holder, Grantor and Lease are those of package permit.
type (
	Holder  = permit.Holder
	Grantor = permit.Grantor
	Lease   = permit.Lease
)

// Peer is whom a client asks.
type Peer struct {
	// Name is for people and for logs; unique among the peers of one client.
	Name string
	// Address is host:port.
	Address string
	// TLS nil means plain text, which only tests use.
	TLS *tls.Config
}

// Dialer opens connections; nil: TCP.
type Dialer func(ctx context.Context, address string) (net.Conn, error)

// retryMost is the longest pause between two rounds of tries: a peer that is replaced is found again within it.
const retryMost = 150 * time.Millisecond

// retryDenied is the pause when every peer says that the holder may not have what it asks for.
const retryDenied = time.Second

// ServerOptions are what a gRPC server that a Server is registered with needs at least: it bears with the callers'
// pings, and notices dead callers.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 2 * time.Second, Timeout: 3 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	}
}

// Dial makes the connection to a peer; gRPC connects when it is first used. It tries again quickly, sends pings, and
// obeys no proxy and no service configuration.
func Dial(p Peer, d Dialer) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if p.TLS != nil {
		creds = credentials.NewTLS(p.TLS)
	}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, Jitter: 0.3, MaxDelay: retryMost,
			},
			MinConnectTimeout: 2 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 3 * time.Second}),
		grpc.WithDisableServiceConfig(),
		grpc.WithNoProxy(),
	}
	if d != nil {
		opts = append(opts, grpc.WithContextDialer(d))
	}
	return grpc.NewClient("passthrough:///"+p.Address, opts...)
}

func validatePeers(field string, peers []Peer) error {
	if len(peers) == 0 {
		return fmt.Errorf("%s: at least one is required", field)
	}
	names := map[string]bool{}
	for i, p := range peers {
		switch {
		case p.Name == "" || p.Address == "":
			return fmt.Errorf("%s[%d]: name %q, address %q: both are required", field, i, p.Name, p.Address)
		case names[p.Name]:
			return fmt.Errorf("%s[%d]: name %q: is there twice", field, i, p.Name)
		}
		names[p.Name] = true
	}
	return nil
}

// errAllTried says that each peer was tried without success since the last pause.
var errAllTried = errors.New("no peer answers")

// chooser says which peer to try: the most preferred that has not failed since the last pause.
type chooser struct {
	failed []bool
	pause  time.Duration
}

func newChooser(peers int) *chooser { return &chooser{failed: make([]bool, peers)} }

// next is the peer to try; errAllTried: none before a pause.
func (c *chooser) next() (int, error) {
	for i, failed := range c.failed {
		if !failed {
			return i, nil
		}
	}
	return 0, errAllTried
}

// rest pauses, with jitter so that many do not come at once, and forgets the failures. least is the shortest pause.
func (c *chooser) rest(ctx context.Context, least time.Duration) {
	clear(c.failed)
	c.pause = max(min(2*c.pause, retryMost), 20*time.Millisecond, least)
	pause := time.NewTimer(c.pause/2 + rand.N(c.pause/2))
	defer pause.Stop()
	select {
	case <-ctx.Done():
	case <-pause.C:
	}
}

// worked forgets the pauses.
func (c *chooser) worked() { c.pause = 0 }
