package stream

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
)

// place is where a server of permits can be reached, killed and restarted.
type place struct {
	listener *bufconn.Listener
	server   *grpc.Server

	mu    sync.Mutex
	conns []*hanging
	hung  bool
}

// network connects places by their addresses, in memory.
type network struct {
	mu     sync.Mutex
	places map[string]*place
	dials  int
	// options are those of the servers.
	options []grpc.ServerOption
}

func newNetwork() *network { return &network{places: map[string]*place{}, options: ServerOptions()} }

var errRefused = errors.New("connection refused")

// hang makes whatever is at an address silent, for good: nothing is refused, nothing is answered.
func (n *network) hang(address string) {
	n.mu.Lock()
	p := n.places[address]
	n.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hung = true
	for _, c := range p.conns {
		c.hang()
	}
}

func (n *network) dialed() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dials
}

// hanging is a connection that can fall silent.
type hanging struct {
	net.Conn
	mu     sync.Mutex
	silent bool
	closed chan struct{}
	once   sync.Once
}

func (c *hanging) hang() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silent = true
}

func (c *hanging) isSilent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.silent
}

func (c *hanging) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.isSilent() {
		<-c.closed
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *hanging) Write(b []byte) (int, error) {
	if c.isSilent() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *hanging) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func (n *network) dial(ctx context.Context, address string) (net.Conn, error) {
	n.mu.Lock()
	n.dials++
	p := n.places[address]
	n.mu.Unlock()
	if p == nil {
		return nil, errRefused
	}
	raw, err := p.listener.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &hanging{Conn: raw, closed: make(chan struct{}), silent: p.hung}
	p.conns = append(p.conns, c)
	return c, nil
}

// serve starts a server at an address; the returned function kills it.
func (n *network) serve(address string, permits permitpb.PermitsServer) (kill func()) {
	p := &place{listener: bufconn.Listen(1 << 20), server: grpc.NewServer(n.options...)}
	permitpb.RegisterPermitsServer(p.server, permits)
	n.mu.Lock()
	n.places[address] = p
	n.mu.Unlock()
	served := make(chan struct{})
	go func() { defer close(served); p.server.Serve(p.listener) }()
	return sync.OnceFunc(func() {
		n.mu.Lock()
		if n.places[address] == p {
			delete(n.places, address)
		}
		n.mu.Unlock()
		p.server.Stop()
		<-served
	})
}

func (n *network) root(t testing.TB, address string, a Authority, broken breakage) *Root {
	r := must(NewRoot(RootConfig{Authority: a, broken: broken}))
	kill := n.serve(address, must(NewServer(ServerConfig{Grantor: r, Authorize: anyone})))
	stop := running(r.Run)
	t.Cleanup(func() { kill(); stop() })
	return r
}

// serveRoot is a root that can be killed.
func (n *network) serveRoot(t testing.TB, address string, a Authority) (kill func()) {
	r := must(NewRoot(RootConfig{Authority: a}))
	down, stop := n.serve(address, must(NewServer(ServerConfig{Grantor: r, Authorize: anyone}))), running(r.Run)
	kill = sync.OnceFunc(func() { down(); stop() })
	t.Cleanup(kill)
	return kill
}

func (n *network) relay(t testing.TB, name, session string, rules tell, servers ...string) *relay {
	clock := permit.SystemClock()
	r := &relay{hop: must(permit.NewHop(permit.HopConfig{
		Holder: permitpb.Holder_HOLDER_RELAY, Center: "hz-a", Clock: clock,
	}))}
	r.client = must(NewClient(ClientConfig{
		Peers: peersOf(servers), Holder: r.hop, Clock: clock, Dial: n.dial,
		Open: &permitpb.Open{
			Session: session, Holder: permitpb.Holder_HOLDER_RELAY, Name: name, Cluster: "hz-a-vm", Center: "hz-a",
		},
	}))
	kill := n.serve(name, must(NewServer(ServerConfig{Grantor: r.hop, Authorize: anyone, Rules: rules})))
	stop := running(r.client.Run)
	r.stop = sync.OnceFunc(func() { kill(); stop() })
	t.Cleanup(r.stop)
	return r
}

func (n *network) guard(t testing.TB, name string, relays ...string) *guard {
	g := &guard{clock: permit.SystemClock(), since: map[uint32]uint64{}, frozen: make(chan struct{}, 64)}
	g.client = must(NewClient(ClientConfig{
		Peers: peersOf(relays), Holder: g, Clock: g.clock, Dial: n.dial,
		Open: &permitpb.Open{
			Holder: permitpb.Holder_HOLDER_GUARD, Name: name, Center: "hz-a", Cells: []string{"rz01.hz-a"},
		},
	}))
	g.stop = running(g.client.Run)
	t.Cleanup(g.stop)
	return g
}
