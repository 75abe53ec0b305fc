package feed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"pentad.dev/pentad/federation/feed/feedpb"
)

// An estate is servers in full mesh, relays and agents in one process on simulated time: real gRPC over a network in
// memory whose links can be cut, one way or both, and disks in memory. Everybody is watched: no position goes back, and
// what once held something never shows nothing.
type estate struct {
	t     *testing.T
	ctx   context.Context
	stop  context.CancelFunc
	disk  *memFS
	wg    sync.WaitGroup
	bytes atomic.Int64 // on the wire

	mu        sync.Mutex
	listeners map[string]*bufconn.Listener
	cuts      map[[2]string]chan struct{} // from, to: closed when it heals
	sites     map[string]*site
	shown     map[string]map[ID]Position // by site, over restarts
}

// site is a process.
type site struct {
	name     string
	estate   *estate
	set      *Set
	follower *Follower
	publish  *Publisher
	stop     func()
}

// inEstate runs a story in a bubble.
func inEstate(t *testing.T, story func(*estate)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := &estate{
			t: t, disk: newMemFS(), listeners: map[string]*bufconn.Listener{}, cuts: map[[2]string]chan struct{}{},
			sites: map[string]*site{}, shown: map[string]map[ID]Position{},
		}
		e.ctx, e.stop = context.WithCancel(t.Context())
		story(e)
		for _, s := range e.sites {
			s.stop()
		}
		e.stop()
		e.wg.Wait()
	})
}

var serverNames = []string{"s0", "s1", "s2", "s3", "s4"}

func peersNamed(names ...string) (peers []Peer) {
	for _, name := range names {
		peers = append(peers, Peer{Name: name, Address: name})
	}
	return peers
}

// start starts a process from its disk: it serves, follows the peers and writes what it begins.
func (e *estate) start(name string, one []Peer, follow ...string) *site {
	e.t.Helper()
	ctx, cancel := context.WithCancel(e.ctx)
	s := &site{name: name, estate: e}
	var err error
	if s.set, err = OpenSet(name, Options{FS: e.disk, SaveInterval: time.Second}); err != nil {
		e.t.Fatal(err)
	}
	dial := func(ctx context.Context, address string) (net.Conn, error) { return e.dial(ctx, name, address) }
	if s.follower, err = NewFollower(FollowerConfig{Set: s.set, Peers: peersNamed(follow...), Dialer: dial}); err != nil {
		e.t.Fatal(err)
	}
	s.publish, err = NewPublisher(PublisherConfig{Set: s.set, One: one, Dialer: dial, OnAhead: func(id ID, p Position) {
		l := s.set.Log(id)
		var whole []Change
		for r := range l.All() {
			whole = append(whole, Change{r.Kind, r.Key, r.Value})
		}
		l.Begin(NextIncarnation(time.Now().UnixMilli(), 0, p.Incarnation, 3), whole)
	}})
	if err != nil {
		e.t.Fatal(err)
	}
	allow := func(context.Context, ID) error { return nil }
	service, err := NewService(ServiceConfig{Set: s.set, Authorize: allow, AuthorizeRead: allow})
	if err != nil {
		e.t.Fatal(err)
	}
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(ServerOptions()...)
	feedpb.RegisterFeedsServer(server, service)
	e.mu.Lock()
	e.listeners[name], e.sites[name] = listener, s
	e.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { server.Serve(listener) })
	wg.Go(func() { s.follower.Run(ctx) })
	wg.Go(func() { s.publish.Run(ctx) })
	wg.Go(func() { s.set.Run(ctx) })
	wg.Go(func() { e.observe(ctx, s) })
	var once sync.Once
	s.stop = func() {
		once.Do(func() {
			e.mu.Lock()
			if e.sites[name] == s {
				delete(e.sites, name)
				delete(e.listeners, name)
			}
			e.mu.Unlock()
			cancel()
			server.Stop()
			wg.Wait()
		})
	}
	return s
}

// mesh starts five servers, each of which follows the others.
func (e *estate) mesh() (servers []*site) {
	for _, name := range serverNames {
		servers = append(servers, e.server(name))
	}
	return servers
}

func (e *estate) server(name string) *site {
	var others []string
	for _, other := range serverNames {
		if other != name {
			others = append(others, other)
		}
	}
	return e.start(name, nil, others...)
}

// observe is the oracle: it runs beside a process.
func (e *estate) observe(ctx context.Context, s *site) {
	watch := s.set.Watch()
	defer watch.Close()
	held := map[ID]bool{}
	for {
		for _, id := range watch.Changed() {
			l, ok := s.set.Get(id)
			if !ok {
				continue
			}
			e.mu.Lock()
			if e.shown[s.name] == nil {
				e.shown[s.name] = map[ID]Position{}
			}
			was, is := e.shown[s.name][id], l.Status()
			if is.Position.Before(was) {
				e.t.Errorf("%s: %s went back from %s to %s", s.name, id, was, is.Position)
			}
			if held[id] && is.Records == 0 {
				e.t.Errorf("%s: %s at %s shows nothing, it held something", s.name, id, is.Position)
			}
			held[id] = held[id] || is.Records > 0
			e.shown[s.name][id] = is.Position
			e.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-watch.C():
		}
	}
}

func (e *estate) dial(ctx context.Context, from, to string) (net.Conn, error) {
	e.mu.Lock()
	l := e.listeners[to]
	blocked := e.cuts[[2]string{from, to}] != nil || e.cuts[[2]string{to, from}] != nil
	e.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("dial %s: refused", to)
	}
	if blocked { // no answer comes
		<-ctx.Done()
		return nil, ctx.Err()
	}
	c, err := l.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	return &linkConn{Conn: c, estate: e, from: from, to: to, closed: make(chan struct{})}, nil
}

// cut makes a direction of a link carry nothing, without breaking what is connected.
func (e *estate) cut(from, to string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cuts[[2]string{from, to}] == nil {
		e.cuts[[2]string{from, to}] = make(chan struct{})
	}
}

func (e *estate) sever(a, b string) { e.cut(a, b); e.cut(b, a) }

func (e *estate) heal() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for link, c := range e.cuts {
		close(c)
		delete(e.cuts, link)
	}
}

// linkConn is the dialing end of a connection.
type linkConn struct {
	net.Conn
	estate   *estate
	from, to string
	once     sync.Once
	closed   chan struct{}
}

var errClosed = errors.New("connection closed")

func (c *linkConn) pass(from, to string) error {
	c.estate.mu.Lock()
	healed := c.estate.cuts[[2]string{from, to}]
	c.estate.mu.Unlock()
	if healed == nil {
		return nil
	}
	select {
	case <-healed:
		return nil
	case <-c.closed:
		return errClosed
	}
}

func (c *linkConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.estate.bytes.Add(int64(n))
	return n, errors.Join(err, c.pass(c.to, c.from))
}

func (c *linkConn) Write(b []byte) (int, error) {
	if err := c.pass(c.from, c.to); err != nil {
		return 0, err
	}
	c.estate.bytes.Add(int64(len(b)))
	return c.Conn.Write(b)
}

func (c *linkConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// within waits, in simulated time, until all sites hold a log as it is.
func (e *estate) within(most time.Duration, what string, l *Log, sites ...*site) {
	e.t.Helper()
	began := time.Now()
	for time.Since(began) < most {
		synctest.Wait()
		all := true
		for _, s := range sites {
			all = all && equal(l, s.set)
		}
		if all {
			e.t.Logf("%s: after %s", what, time.Since(began))
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, s := range sites {
		if c, ok := s.set.Get(l.ID()); !ok || !equal(l, s.set) {
			e.t.Errorf("%s: %s has %v, the writer is at %s", what, s.name, c, l.Position())
			for _, p := range s.follower.Status() {
				e.t.Logf("%s: %+v", s.name, p)
			}
		}
	}
	e.t.FailNow()
}
