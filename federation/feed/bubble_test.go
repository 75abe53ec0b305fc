package feed

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"pentad.dev/pentad/federation/feed/feedpb"
)

// bubble is a network in memory for tests under synctest: listeners by address.
type bubble struct {
	mu        sync.Mutex
	listeners map[string]*bufconn.Listener
}

// inBubble runs a test on simulated time, in which no stream breaks because the machine is busy.
func inBubble(t *testing.T, test func(*testing.T, *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, &bubble{listeners: map[string]*bufconn.Listener{}}) })
}

func (b *bubble) dial(ctx context.Context, address string) (net.Conn, error) {
	b.mu.Lock()
	l := b.listeners[address]
	b.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("dial %s: refused", address)
	}
	return l.DialContext(ctx)
}

// serve serves a set at an address until the result is called.
func (b *bubble) serve(t *testing.T, address string, set *Set, changes ...func(*ServiceConfig)) (stop func()) {
	t.Helper()
	l := bufconn.Listen(1 << 20)
	b.mu.Lock()
	b.listeners[address] = l
	b.mu.Unlock()
	allow := func(context.Context, ID) error { return nil }
	cfg := ServiceConfig{Set: set, Authorize: allow, AuthorizeRead: allow}
	for _, change := range changes {
		change(&cfg)
	}
	service, err := NewService(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(ServerOptions()...)
	feedpb.RegisterFeedsServer(server, service)
	var wg sync.WaitGroup
	wg.Go(func() { server.Serve(l) })
	stop = sync.OnceFunc(func() {
		b.mu.Lock()
		delete(b.listeners, address)
		b.mu.Unlock()
		server.Stop()
		wg.Wait()
	})
	t.Cleanup(stop)
	return stop
}

// TestWholeStackRunsInABubble runs publisher, two servers, a relay and their disks on simulated time: nothing in the
// package may wait for anything outside of it. Minutes pass, the home dies in between, and time is what it should be.
func TestWholeStackRunsInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		disk := newMemFS()
		net := &bubble{listeners: map[string]*bufconn.Listener{}}
		set := func(dir string) *Set {
			s, err := OpenSet(dir, Options{FS: disk})
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() { s.Run(ctx) })
			return s
		}
		peers := []Peer{{Name: "a", Address: "a"}, {Name: "b", Address: "b"}}
		follow := func(s *Set, peers ...Peer) *Follower {
			f, err := NewFollower(FollowerConfig{Set: s, Peers: peers, Dialer: net.dial})
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() { f.Run(ctx) })
			return f
		}
		a, b, relay := set("a"), set("b"), set("relay")
		stopA, stopB := net.serve(t, "a", a), net.serve(t, "b", b)
		follow(a, peers[1])
		follow(b, peers[0])
		follow(relay, peers...)
		agent := set("agent")
		l := agent.Log("c/x")
		l.Begin(NextIncarnation(time.Now().UnixMilli(), 0, 0, 1), []Change{change("a", "1")})
		p, err := NewPublisher(PublisherConfig{Set: agent, One: peers, OnAhead: func(ID, Position) {}, Dialer: net.dial})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() { p.Run(ctx) })
		time.Sleep(time.Second)
		if !equal(l, a, b, relay) {
			t.Error("not equal after a second")
		}
		for i := range 12 {
			time.Sleep(time.Minute)
			l.Commit(change("a", fmt.Sprint(i)))
			switch i {
			case 4:
				stopA()
			case 8:
				stopA = net.serve(t, "a", a)
			}
			time.Sleep(time.Second)
			if c, _ := relay.Get("c/x"); !equal(l, b, relay) || c.Stale() {
				t.Errorf("minute %d: not equal a second after a change", i)
			}
		}
		cancel()
		stopA()
		stopB()
		wg.Wait()
		if s, err := OpenSet("relay", Options{FS: disk.afterPowerCut()}); err != nil || !equal(l, s) {
			t.Errorf("from disk: %v", err)
		}
	})
}

// write begins a feed at a process.
func (s *site) write(id ID, whole []Change) *Log {
	s.estate.t.Helper()
	l := s.set.Log(id)
	if _, err := l.Begin(NextIncarnation(time.Now().UnixMilli(), 0, l.Highest().Incarnation, 1), whole); err != nil {
		s.estate.t.Fatal(err)
	}
	return l
}

// slowFS is a disk whose syncs take a second.
type slowFS struct{ *memFS }

func (s slowFS) SyncDir(dir string) error {
	time.Sleep(time.Second)
	return s.memFS.SyncDir(dir)
}

func (s slowFS) Create(name string) (File, error) {
	f, err := s.memFS.Create(name)
	return slowFile{f}, err
}

type slowFile struct{ File }

func (s slowFile) Sync() error {
	time.Sleep(time.Second)
	return s.File.Sync()
}

// TestRemovalWaitsForASlowDisk on which another feed is being saved: simulated time goes on meanwhile.
func TestRemovalWaitsForASlowDisk(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *bubble) {
		s, err := OpenSet("d", Options{FS: slowFS{newMemFS()}})
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []ID{"c/x", "c/y"} {
			if _, err := s.Log(id).Begin(1, []Change{change("a", "1")}); err != nil {
				t.Fatal(err)
			}
		}
		var saves sync.WaitGroup
		saves.Go(func() {
			if err := s.Save("c/x"); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait() // it waits for the disk
		if err := s.Remove("c/y"); err != nil {
			t.Error(err)
		}
		saves.Wait()
	})
}
