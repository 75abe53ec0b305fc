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
)

// server is a Set served over loopback that a test can kill and start again.
type server struct {
	t    *testing.T
	set  *Set
	addr string
	grpc *grpc.Server
	wg   sync.WaitGroup
}

func startServer(t *testing.T, set *Set, addr string) *server {
	t.Helper()
	s := &server{t: t, set: set}
	var lis net.Listener
	var err error
	for range 50 {
		if lis, err = net.Listen("tcp", addr); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.addr = lis.Addr().String()
	s.grpc = grpc.NewServer(ServerOptions()...)
	allow := func(context.Context, ID) error { return nil }
	svc, err := NewService(ServiceConfig{Set: set, Authorize: allow, AuthorizeRead: allow, Heartbeat: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
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
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal("never: " + what)
}

func follow(t *testing.T, set *Set, servers ...*server) *Follower {
	t.Helper()
	cfg := FollowerConfig{Set: set, Heartbeat: 100 * time.Millisecond, Patience: 200 * time.Millisecond}
	for i, s := range servers {
		cfg.Peers = append(cfg.Peers, Peer{Name: fmt.Sprint("s", i), Address: s.addr})
	}
	f, err := NewFollower(cfg)
	if err != nil {
		t.Fatal(err)
	}
	run(t, f.Run)
	return f
}

func publish(t *testing.T, set *Set, onAhead func(ID, Position), servers ...*server) *Publisher {
	t.Helper()
	cfg := PublisherConfig{Set: set, OnAhead: onAhead, Heartbeat: 100 * time.Millisecond}
	for i, s := range servers {
		cfg.One = append(cfg.One, Peer{Name: fmt.Sprint("s", i), Address: s.addr})
	}
	p, err := NewPublisher(cfg)
	if err != nil {
		t.Fatal(err)
	}
	run(t, p.Run)
	return p
}

func TestChangeTravelsFromAgentOverServersToRelay(t *testing.T) {
	a, b := startServer(t, memory(t), "127.0.0.1:0"), startServer(t, memory(t), "127.0.0.1:0")
	follow(t, a.set, b)
	follow(t, b.set, a)
	relay := memory(t)
	follow(t, relay, b, a)
	agent := memory(t)
	pub := publish(t, agent, func(id ID, p Position) { t.Errorf("ahead: %s", p) }, a, b)
	l := agent.Log("c/reg")
	if _, err := l.Begin(NextIncarnation(time.Now().UnixMilli(), 0, 0, 1), []Change{{"k", "a", []byte("1")}}); err != nil {
		t.Fatal(err)
	}
	same := func() bool {
		for _, s := range []*Set{a.set, b.set, relay} {
			c, ok := s.Get("c/reg")
			if !ok || c.Position() != l.Position() || c.Digest() != l.Digest() || c.Stale() {
				return false
			}
		}
		return true
	}
	eventually(t, "all hold the set", same)
	copied, _ := relay.Get("c/reg")
	cursor := copied.Cursor(copied.Position())
	defer cursor.Close()
	<-cursor.Wake()
	var worst time.Duration
	for i := range 200 {
		began := time.Now()
		l.Commit(Change{"k", fmt.Sprint(i % 10), fmt.Append(nil, i)})
		for copied.Position() != l.Position() {
			<-cursor.Wake()
		}
		worst = max(worst, time.Since(began))
	}
	t.Log("worst time to relay", worst)
	// the home dies: the agent fails over, the relay goes on
	a.kill()
	l.Commit(Change{"k", "after", []byte("x")})
	began := time.Now()
	eventually(t, "relay hears of the change", func() bool { return copied.Position() == l.Position() })
	t.Log("failover", time.Since(began))
	// it comes back: the agent returns
	startServer(t, a.set, a.addr)
	eventually(t, "agent returns to the nearer server", func() bool {
		s := pub.Status()
		return s[0].Active && !s[1].Active
	})
	l.Commit(Change{"k", "back", []byte("x")})
	eventually(t, "all equal", same)
}

func TestWriterBehindItsReadersTakesHigherIncarnation(t *testing.T) {
	a := startServer(t, memory(t), "127.0.0.1:0")
	b := memory(t)
	follow(t, b, a)
	old := b.Log("c/reg")
	old.Begin(1<<40, []Change{{"k", "old", []byte("1")}})
	old.Resign()
	agent := memory(t)
	l := agent.Log("c/reg")
	whole := []Change{{"k", "new", []byte("2")}}
	var heard uint64
	publish(t, agent, func(id ID, p Position) {
		heard = NextIncarnation(0, 0, l.Highest().Incarnation, 5)
		if _, err := l.Begin(heard, whole); err != nil {
			t.Error(err)
		}
	}, a)
	l.Begin(1<<30, whole)
	eventually(t, "the reader holds the new incarnation", func() bool {
		return old.Position() == l.Position() && l.Position().Incarnation > 1<<40 && old.Digest() == l.Digest()
	})
}
