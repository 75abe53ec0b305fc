package guard

import (
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/permit/stream"
)

// relay is a relay whose answers a test writes.
type relay struct {
	t      testing.TB
	peer   stream.Peer
	server *grpc.Server

	mu       sync.Mutex
	revision uint64
	holds    time.Duration
	maps     []*permitpb.Map
	leases   map[*lease]bool
	// closed is what the last ask named; released that a holder has said so.
	closed   []uint64
	released bool
	asks     int
	rules    *permitpb.RulesResponse
	changed  chan struct{}
}

type lease struct {
	r     *relay
	hints chan struct{}
}

func newRelay(t testing.TB, holds time.Duration, maps ...*permitpb.Map) *relay {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{
		t: t, peer: stream.Peer{Name: listener.Addr().String(), Address: listener.Addr().String()}, server: grpc.NewServer(),
		revision: 1, holds: holds, maps: maps, leases: map[*lease]bool{}, rules: rules(), changed: make(chan struct{}),
	}
	s, err := stream.NewServer(stream.ServerConfig{
		Grantor: r, Authorize: func(context.Context, *permitpb.Open) error { return nil }, Rules: r.presentRules,
	})
	if err != nil {
		t.Fatal(err)
	}
	permitpb.RegisterPermitsServer(r.server, s)
	go r.server.Serve(listener)
	t.Cleanup(r.server.Stop)
	return r
}

func (r *relay) Open(_ context.Context, open *permitpb.Open) (permit.Lease, error) {
	if open.GetHolder() != permitpb.Holder_HOLDER_GUARD || len(open.GetCells()) == 0 || open.GetCenter() == "" {
		r.t.Errorf("a guard opens with %v", open)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l := &lease{r, make(chan struct{}, 1)}
	r.leases[l] = true
	return l, nil
}

func (l *lease) Answer(_ context.Context, ask *permitpb.Ask) (*permitpb.Answer, error) {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	l.r.asks++
	l.r.closed, l.r.released = ask.GetClosed(), l.r.released || ask.GetReleased()
	return &permitpb.Answer{Number: ask.GetNumber(), Revision: l.r.revision, HoldsNs: int64(l.r.holds),
		Maps: l.r.maps}, nil
}

func (l *lease) Hints() <-chan struct{} { return l.hints }

func (l *lease) Close() {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	delete(l.r.leases, l)
}

func (r *relay) presentRules() (*permitpb.RulesResponse, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rules, r.changed
}

// tell changes the maps and hints.
func (r *relay) tell(maps ...*permitpb.Map) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.maps = maps
	r.revision++
	for l := range r.leases {
		poke(l.hints)
	}
}

func (r *relay) tellRules(rules *permitpb.RulesResponse) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rules = rules
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *relay) heardClosed(freeze uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.closed, freeze)
}

// patience bounds every wait: the machine may be busy.
const patience = time.Minute

// eventually waits until what is so.
func eventually(t testing.TB, what string, so func() bool) time.Duration {
	t.Helper()
	begun := time.Now()
	for !so() {
		if time.Since(begun) > patience {
			t.Fatalf("not within %s: %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(begun)
}

// workload is a gRPC server behind a guard, with the methods Place and Get and the stream Watch.
type workload struct {
	guard *Guard
	stop  func()
	conn  *grpc.ClientConn
	// placing, when set, is what Place does; streaming what Watch does with each message.
	mu        sync.Mutex
	placing   func(context.Context) error
	streaming func(context.Context, string) error
	placed    int
}

const watch = "/orders.v1.Orders/Watch"

func (w *workload) place(ctx context.Context) error {
	w.mu.Lock()
	w.placed++
	do := w.placing
	w.mu.Unlock()
	if do == nil {
		return nil
	}
	return do(ctx)
}

func (w *workload) does(do func(context.Context) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.placing = do
}

// hold makes the next call of Place tell that it is there, and stay until leave is closed.
func (w *workload) hold() (inside, leave chan struct{}) {
	inside, leave = make(chan struct{}), make(chan struct{})
	var one atomic.Bool
	w.does(func(context.Context) error {
		if one.CompareAndSwap(false, true) {
			close(inside)
			<-leave
		}
		return nil
	})
	return inside, leave
}

func (w *workload) desc() *grpc.ServiceDesc {
	unary := func(method string, do func(context.Context) error) grpc.MethodDesc {
		return grpc.MethodDesc{MethodName: method, Handler: func(
			srv any, ctx context.Context, dec func(any) error, intercept grpc.UnaryServerInterceptor,
		) (any, error) {
			in := &wrapperspb.StringValue{}
			if err := dec(in); err != nil {
				return nil, err
			}
			return intercept(ctx, in, &grpc.UnaryServerInfo{Server: srv, FullMethod: "/orders.v1.Orders/" + method},
				func(ctx context.Context, req any) (any, error) { return req, do(ctx) })
		}}
	}
	return &grpc.ServiceDesc{
		ServiceName: "orders.v1.Orders", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			unary("Place", w.place), unary("Get", func(context.Context) error { return nil }),
		},
		Streams: []grpc.StreamDesc{{StreamName: "Watch", ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, s grpc.ServerStream) error {
				for {
					m := &wrapperspb.StringValue{}
					if err := s.RecvMsg(m); err != nil {
						return nil // as handlers do that take each end for a good one
					}
					w.mu.Lock()
					do := w.streaming
					w.mu.Unlock()
					if do != nil {
						if err := do(s.Context(), m.Value); err != nil {
							return err
						}
					}
					if err := s.SendMsg(m); err != nil {
						return err
					}
				}
			}}},
	}
}

// newWorkload starts a workload; it has a permit when the first relay has maps.
func newWorkload(t testing.TB, change func(*Config), relays ...*relay) *workload {
	cfg := Config{Cells: []string{ownCell}, Service: "orders", Name: "orders-1", Cluster: "hz-a1", Center: "hz-a"}
	for _, r := range relays {
		cfg.Relays = append(cfg.Relays, r.peer)
	}
	if change != nil {
		change(&cfg)
	}
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w := &workload{guard: g}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("guard: %v", err)
		}
	})
	server := grpc.NewServer(
		grpc.UnaryInterceptor(g.UnaryServerInterceptor()), grpc.StreamInterceptor(g.StreamServerInterceptor()))
	server.RegisterService(w.desc(), nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(listener)
	w.conn, err = grpc.NewClient("passthrough:///"+listener.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.conn.Close(); server.Stop(); w.stop() })
	eventually(t, "the guard has rules and a map", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.tables != nil && g.state.Load().own != nil
	})
	return w
}

// call makes a bare call with these shards, without the client side of this package.
func (w *workload) call(method string, shards ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, shard := range shards {
		ctx = metadata.AppendToOutgoingContext(ctx, HeaderShard, shard)
	}
	return w.conn.Invoke(ctx, method, wrapperspb.String("x"), &wrapperspb.StringValue{})
}

// refusedFor is the reason of a refused call; "" when it passed.
func refusedFor(t testing.TB, err error) Reason {
	t.Helper()
	if err == nil {
		return ""
	}
	r, ok := RefusalOf(err)
	if !ok {
		t.Fatalf("not a refusal: %v", err)
	}
	return r.Reason
}
