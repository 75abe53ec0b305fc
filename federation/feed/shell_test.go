package feed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"pentad.dev/pentad/federation/feed/feedpb"
	"pentad.dev/pentad/process/loopback"
)

// server is a Set served over loopback that a test can kill and start again.
type server struct {
	t    *testing.T
	set  *Set
	addr string
	grpc *grpc.Server
	// service is what it serves.
	service *Service
	wg      sync.WaitGroup
}

func startServer(t *testing.T, set *Set, addr string, changes ...func(*ServiceConfig)) *server {
	t.Helper()
	s := &server{t: t, set: set, addr: addr}
	if addr == "127.0.0.1:0" { // may be asked for again
		s.addr = loopback.Address(t)
	}
	lis, err := net.Listen("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	s.grpc = grpc.NewServer(ServerOptions()...)
	allow := func(context.Context, ID) error { return nil }
	cfg := ServiceConfig{Set: set, Authorize: allow, AuthorizeRead: allow, Heartbeat: 100 * time.Millisecond}
	for _, change := range changes {
		change(&cfg)
	}
	svc, err := NewService(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.service = svc
	feedpb.RegisterFeedsServer(s.grpc, svc)
	s.wg.Go(func() { s.grpc.Serve(lis) })
	t.Cleanup(s.kill)
	return s
}

func (s *server) kill() { s.grpc.Stop(); s.wg.Wait() }

func memory(t *testing.T) *Set {
	t.Helper()
	set, err := OpenSet("", Options{})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// run runs something until the test ends.
func run(t *testing.T, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal("never: " + what)
}

func peersOf(servers ...*server) (peers []Peer) {
	for i, s := range servers {
		peers = append(peers, Peer{Name: fmt.Sprint("s", i), Address: s.addr})
	}
	return peers
}

func follow(t *testing.T, set *Set, servers ...*server) *Follower {
	t.Helper()
	return followWith(t, FollowerConfig{Set: set, Peers: peersOf(servers...)})
}

func followWith(t *testing.T, cfg FollowerConfig) *Follower {
	t.Helper()
	cfg.Heartbeat, cfg.Patience = 100*time.Millisecond, 200*time.Millisecond
	f, err := NewFollower(cfg)
	if err != nil {
		t.Fatal(err)
	}
	run(t, f.Run)
	return f
}

// agent is a set with a feed that it writes.
func agent(t *testing.T, whole ...Change) (*Set, *Log) {
	t.Helper()
	set := memory(t)
	l := set.Log("c/reg")
	if _, err := l.Begin(NextIncarnation(time.Now().UnixMilli(), 0, 0, 1), whole); err != nil {
		t.Fatal(err)
	}
	return set, l
}

func publish(t *testing.T, set *Set, servers ...*server) *Publisher {
	t.Helper()
	return publishWith(t, PublisherConfig{
		Set: set, One: peersOf(servers...), OnAhead: func(id ID, p Position) { t.Errorf("%s: a reader is at %s", id, p) },
	})
}

func publishWith(t *testing.T, cfg PublisherConfig) *Publisher {
	t.Helper()
	cfg.Heartbeat = 100 * time.Millisecond
	p, err := NewPublisher(cfg)
	if err != nil {
		t.Fatal(err)
	}
	run(t, p.Run)
	return p
}

// equal says whether the sets hold a log as it is.
func equal(l *Log, sets ...*Set) bool {
	for _, s := range sets {
		c, ok := s.Get(l.ID())
		if !ok || c.Position() != l.Position() || c.Digest() != l.Digest() {
			return false
		}
	}
	return true
}
