package feed_test

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/feed/feedpb"
)

type served struct {
	address string
	stop    func()
}

func serve(b testing.TB, service feedpb.FeedsServer) served {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	// On a machine that is busy with a thousand subscribers of its own, silence means nothing.
	patient := grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: time.Minute})
	server := grpc.NewServer(append(feed.ServerOptions(), patient)...)
	feedpb.RegisterFeedsServer(server, service)
	var wg sync.WaitGroup
	wg.Go(func() { server.Serve(listener) })
	return served{listener.Addr().String(), func() { server.Stop(); wg.Wait() }}
}

func serveSet(b testing.TB, set *feed.Set) served {
	b.Helper()
	allow := func(context.Context, feed.ID) error { return nil }
	service, err := feed.NewService(feed.ServiceConfig{
		Set: set, Authorize: allow, AuthorizeRead: allow, Heartbeat: benchHeartbeat,
	})
	if err != nil {
		b.Fatal(err)
	}
	return serve(b, service)
}

// await waits, at most five minutes, until a set says that something holds.
func await(b testing.TB, set *feed.Set, what string, holds func() bool) {
	b.Helper()
	watch := set.Watch()
	defer watch.Close()
	late := time.After(5 * time.Minute)
	for !holds() {
		select {
		case <-watch.C():
			watch.Changed()
		case <-late:
			b.Fatal("never: " + what)
		}
	}
}

// holder says whether a set holds as many feeds with their endpoints as there are clusters, by looking only at those
// that it has not seen complete.
func holder(set *feed.Set, clusters int) func() bool {
	complete := map[feed.ID]bool{}
	return func() bool {
		for _, id := range set.IDs() {
			if l, ok := set.Get(id); ok && !complete[id] && l.Len() == perCluster/perSlice {
				complete[id] = true
			}
		}
		return len(complete) == clusters
	}
}

// ingest is one agent a cluster that connects and publishes.
func ingest(b testing.TB, set *feed.Set, address string, clusters int) cost {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	var publishers []*feed.Publisher
	for i := range clusters {
		publishers = append(publishers, publisherOf(b, agentSet(b, i), address))
	}
	took := spent(b, func() {
		for _, p := range publishers {
			wg.Go(func() { p.Run(ctx) })
		}
		await(b, set, "all is ingested", holder(set, clusters))
	})
	cancel()
	wg.Wait()
	return took
}

func agentSet(b testing.TB, cluster int) *feed.Set {
	b.Helper()
	agent, err := feed.OpenSet("", feed.Options{})
	if err != nil {
		b.Fatal(err)
	}
	id, whole := clusterFeed(b, cluster)
	if _, err := agent.Log(id).Begin(feed.NextIncarnation(time.Now().UnixMilli(), 0, 0, 1), whole); err != nil {
		b.Fatal(err)
	}
	return agent
}

func publisherOf(b testing.TB, agent *feed.Set, address string) *feed.Publisher {
	b.Helper()
	p, err := feed.NewPublisher(feed.PublisherConfig{
		Heartbeat: benchHeartbeat,
		Set:       agent, One: []feed.Peer{{Name: "server", Address: address}}, OnAhead: func(id feed.ID, p feed.Position) {
			b.Errorf("%s: a reader is at %s", id, p)
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// catchUp is a reader that begins with nothing.
func catchUp(b testing.TB, set *feed.Set, address string) cost {
	b.Helper()
	copied, err := feed.OpenSet("", feed.Options{})
	if err != nil {
		b.Fatal(err)
	}
	f, err := feed.NewFollower(feed.FollowerConfig{Set: copied, Peers: []feed.Peer{{Name: "server", Address: address}}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	took := spent(b, func() {
		wg.Go(func() { f.Run(ctx) })
		await(b, copied, "the reader has caught up", holder(copied, len(set.IDs())))
	})
	cancel()
	wg.Wait()
	return took
}

// copyOverLoopback is the floor of a catch-up: the same values over a bare connection.
func copyOverLoopback(b testing.TB, set *feed.Set) cost {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		conn, err := listener.Accept()
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		for _, id := range set.IDs() {
			l, _ := set.Get(id)
			for r := range l.All() {
				conn.Write(r.Value)
			}
		}
	})
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	return spent(b, func() {
		if _, err := io.Copy(io.Discard, conn); err != nil {
			b.Fatal(err)
		}
	})
}

// restart saves everything and opens it again; the floor reads the files and sums them.
func restart(b testing.TB, set *feed.Set, dir string) (took, floor cost) {
	b.Helper()
	for _, id := range set.IDs() {
		if err := set.Save(id); err != nil {
			b.Fatal(err)
		}
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.feed"))
	if err != nil || len(names) != len(set.IDs()) {
		b.Fatal(err, len(names))
	}
	var sum uint64
	floor = spent(b, func() {
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				b.Fatal(err)
			}
			sum += xxhash.Sum64(data)
		}
	})
	runtime.KeepAlive(sum)
	runtime.GC()
	var again *feed.Set
	took = spent(b, func() { again, err = feed.OpenSet(dir, feed.Options{}) })
	if err != nil {
		b.Fatal(err)
	}
	if len(again.IDs()) != len(names) {
		b.Fatal(len(again.IDs()))
	}
	return took, floor
}
