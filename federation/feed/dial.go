package feed

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// retryMost is the longest pause between two tries to reach a peer: a server that is replaced is found again within
// it.
const retryMost = 150 * time.Millisecond

// maxMessage is above the largest frame: the frame limit plus one record of MaxValue.
const maxMessage = 4 << 20

// ServerOptions are what a gRPC server that a Service is registered with needs: it notices dead callers within
// seconds and bears with the callers' own pings.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 2 * time.Second, Timeout: 3 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.MaxRecvMsgSize(maxMessage),
	}
}

// dial makes the connection to a peer; gRPC connects when it is first used. It is closed with the stream that broke,
// so that no stream is opened over what only seems to be a connection.
func dial(p Peer, d Dialer) (*grpc.ClientConn, error) {
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
		// gRPC sends no pings more often than every ten seconds; the streams' own signs of life are quicker.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 3 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithDisableServiceConfig(),
		grpc.WithNoProxy(),
	}
	if p.Says != nil {
		opts = append(opts, grpc.WithPerRPCCredentials(p.Says))
	}
	if d != nil {
		opts = append(opts, grpc.WithContextDialer(d))
	}
	return grpc.NewClient("passthrough:///"+p.Address, opts...)
}

// backOff is the pause before a stream is tried again: quick at first, with jitter, so that many do not come at once.
type backOff struct{ next time.Duration }

// wait pauses until it is time to try again, or ctx ends. lasted is how long the last try held.
func (b *backOff) wait(ctx context.Context, lasted time.Duration) {
	if lasted > 2*time.Second || b.next == 0 {
		b.next = 10 * time.Millisecond
	}
	pause := time.NewTimer(b.next/2 + rand.N(b.next))
	defer pause.Stop()
	b.next = min(2*b.next, retryMost)
	select {
	case <-ctx.Done():
	case <-pause.C:
	}
}
