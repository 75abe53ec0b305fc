package ledger

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"pentad.dev/pentad/dev/sample/ledger/ledgerpb"
)

// retryEvery is the pause before a member that does not answer is tried again.
const retryEvery = 50 * time.Millisecond

func (m *Member) dial(p Peer) (*grpc.ClientConn, error) { return dial(p, m.cfg.Dial) }

func dial(p Peer, dialer func(context.Context, string) (net.Conn, error)) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if p.TLS != nil {
		creds = credentials.NewTLS(p.TLS)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, Jitter: 0.3, MaxDelay: 200 * time.Millisecond,
			},
			MinConnectTimeout: 2 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 3 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(4 << 20)),
		grpc.WithDisableServiceConfig(),
		grpc.WithNoProxy(),
	}
	if dialer != nil {
		options = append(options, grpc.WithContextDialer(dialer))
	}
	return grpc.NewClient("passthrough:///"+p.Address, options...)
}

// lead keeps a stream to a replica for as long as this member claims, or is primary.
func (m *Member) lead(ctx context.Context, p Peer) {
	for ctx.Err() == nil {
		leads := false
		news, err := m.look(func(c *core) { leads = c.role != replica })
		if err != nil {
			return
		}
		if !leads {
			select {
			case <-ctx.Done():
			case <-news:
			}
			continue
		}
		err = m.stream(ctx, p)
		m.log.Debug("stream to a member ended", "peer", p.Member, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(retryEvery):
		}
	}
}

// stream carries messages until the stream breaks, or this member is a replica.
func (m *Member) stream(ctx context.Context, p Peer) error {
	conn, err := m.dial(p)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	messages, err := ledgerpb.NewReplicationClient(conn).Replicate(ctx)
	if err != nil {
		return err
	}
	heard := make(chan struct{})
	defer func() { cancel(nil); <-heard }()
	if err := m.do(func(c *core) { c.linked(p.Member) }); err != nil {
		close(heard)
		return err
	}
	go func() {
		defer close(heard)
		for {
			answer, err := messages.Recv()
			if err == nil {
				err = m.do(func(c *core) { c.replicated(p.Member, answer) })
			}
			if err != nil {
				cancel(err)
				return
			}
		}
	}()
	return m.send(ctx, p, messages)
}

func (m *Member) send(
	ctx context.Context, p Peer, messages grpc.BidiStreamingClient[ledgerpb.ReplicateRequest, ledgerpb.ReplicateResponse],
) error {
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for {
		var message *ledgerpb.ReplicateRequest
		leads := false
		news, err := m.look(func(c *core) { leads, message = c.role != replica, c.next(p.Member) })
		if err != nil || !leads {
			return err
		}
		if message != nil {
			if err := messages.Send(message); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-news:
		case <-beat.C:
			_, _ = m.look(func(c *core) { c.beat(p.Member) })
		}
	}
}
