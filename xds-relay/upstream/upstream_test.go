package upstream_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/feed/feedpb"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/xds-relay/upstream"
)

// serve is a federation server as a relay sees it: a set of feeds, served.
func serve(t *testing.T, set *feed.Set) (feed.Peer, *grpc.Server) {
	t.Helper()
	service, err := feed.NewService(feed.ServiceConfig{Set: set, AuthorizeRead: func(context.Context, feed.ID) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(feed.ServerOptions()...)
	feedpb.RegisterFeedsServer(server, service)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return feed.Peer{Name: "server", Address: listener.Addr().String()}, server
}

func newSet(t *testing.T) *feed.Set {
	t.Helper()
	set, err := feed.OpenSet("", feed.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func write(t *testing.T, l *feed.Log, kind, key, value string) {
	t.Helper()
	if _, err := l.Begin(feed.NextIncarnation(time.Now().UnixMilli(), 0, 0, 1), []feed.Change{{Kind: kind, Key: key, Value: []byte(value)}}); err != nil {
		t.Fatal(err)
	}
}

// run runs an upstream until stop is called.
func run(t *testing.T, dir string, servers ...feed.Peer) (u *upstream.Upstream, stop func()) {
	t.Helper()
	u, err := upstream.New(upstream.Config{Dir: dir, Servers: servers, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return u, stop
}

// soon bounds what happens within milliseconds but for a busy machine.
const soon = 2 * time.Minute

func waitReady(t *testing.T, u *upstream.Upstream) {
	t.Helper()
	for deadline := time.Now().Add(soon); ; time.Sleep(5 * time.Millisecond) {
		err := u.Ready()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready: %v, %+v", err, u.Status())
		}
	}
}

func TestReadyOnceAllThatAServerAnnouncedHasArrived(t *testing.T) {
	set := newSet(t)
	cluster := model.FeedID("hz-a-vm", "static")
	write(t, set.Log(cluster), model.KindService, "orders", "x")
	write(t, set.Log(model.ReportsFeed("hz-a-vm")), model.KindSourceReport, "static", "x")
	server, _ := serve(t, set)

	u, _ := run(t, t.TempDir(), server)
	time.Sleep(500 * time.Millisecond)
	if err := u.Ready(); !errors.Is(err, upstream.ErrNotReady) {
		t.Errorf("ready without the intent: %v", err)
	}
	write(t, set.Log(feed.IntentID), "Center", "hz-a", "{}")
	waitReady(t, u)
	for id, want := range map[feed.ID]bool{feed.IntentID: true, cluster: true, model.ReportsFeed("hz-a-vm"): false} {
		l, ok := u.Set().Get(id)
		if got := ok && l.Len() == 1; got != want {
			t.Errorf("feed %s held: %v, want %v", id, got, want)
		}
	}
}

func TestARelayWithNobodyToAskShowsWhatItKnew(t *testing.T) {
	set, dir := newSet(t), t.TempDir()
	cluster := model.FeedID("hz-a-vm", "static")
	write(t, set.Log(cluster), model.KindService, "orders", "x")
	write(t, set.Log(feed.IntentID), "Center", "hz-a", "{}")
	server, grpcServer := serve(t, set)
	u, stop := run(t, dir, server)
	waitReady(t, u)
	stop()
	grpcServer.Stop()

	again, _ := run(t, dir, server)
	if err := again.Ready(); err != nil {
		t.Errorf("not ready with a last known good state on disk: %v", err)
	}
	l, ok := again.Set().Get(cluster)
	if !ok || l.Len() != 1 || !l.Stale() {
		t.Errorf("after a restart: held %v, %v; it must be there, and stale", l, ok)
	}
}

func TestARelayThatKnowsNothingWaitsForWritersToConfirm(t *testing.T) {
	// A server that was itself just started from disk: what it holds may be old.
	dir := t.TempDir()
	before, err := feed.OpenSet(dir, feed.Options{})
	if err != nil {
		t.Fatal(err)
	}
	write(t, before.Log(model.FeedID("hz-a-vm", "static")), model.KindService, "orders", "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := before.Run(ctx); err != nil {
		t.Fatal(err)
	}
	set, err := feed.OpenSet(dir, feed.Options{})
	if err != nil {
		t.Fatal(err)
	}
	write(t, set.Log(feed.IntentID), "Center", "hz-a", "{}")
	server, _ := serve(t, set)
	u, _ := run(t, t.TempDir(), server)
	u.WaitForWriters()
	for deadline := time.Now().Add(soon); ; time.Sleep(10 * time.Millisecond) {
		if l, ok := u.Set().Get(model.FeedID("hz-a-vm", "static")); ok && l.Len() == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the copy does not arrive: %+v", u.Status())
		}
	}
	if err := u.Ready(); !errors.Is(err, upstream.ErrNotReady) {
		t.Errorf("ready with a copy that no writer confirmed: %v", err)
	}
}
