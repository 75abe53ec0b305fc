package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"pentad.dev/pentad/agents/source"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/feed/feedpb"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
	"pentad.dev/pentad/process/loopback"
)

const (
	cluster = "vm-hz-a"
	// soon bounds what happens within milliseconds but for a busy machine.
	soon = 2 * time.Minute
)

var (
	vms     = model.FeedID(cluster, "vms")
	reports = model.ReportsFeed(cluster)
	quiet   = slog.New(slog.DiscardHandler)
)

// holder is a server or a relay: a set that is published into.
type holder struct {
	t       testing.TB
	set     *feed.Set
	peer    feed.Peer
	stopped func()
}

func newHolder(t testing.TB, name string) *holder {
	t.Helper()
	set, err := feed.OpenSet("", feed.Options{})
	check(t, err)
	h := &holder{t: t, set: set, peer: feed.Peer{Name: name, Address: loopback.Address(t)}}
	h.start()
	t.Cleanup(func() { h.stopped() })
	return h
}

// start serves what the set holds, at the same address each time.
func (h *holder) start() {
	h.t.Helper()
	allow := func(context.Context, feed.ID) error { return nil }
	service, err := feed.NewService(feed.ServiceConfig{
		Set: h.set, Authorize: allow, AuthorizeRead: allow, Heartbeat: 50 * time.Millisecond, Validator: validator,
	})
	check(h.t, err)
	listener := loopback.Listen(h.t, h.peer.Address)
	server := grpc.NewServer(feed.ServerOptions()...)
	feedpb.RegisterFeedsServer(server, service)
	go server.Serve(listener)
	h.stopped = sync.OnceFunc(func() {
		listener.Close() // Stop does it only if Serve has begun
		server.Stop()
	})
}

func validator(_ feed.ID, r *feed.Record) error { return model.Check(r.Kind, r.Key, r.Value) }

// until waits until what the holder shows is good.
func (h *holder) until(what string, good func() bool) error {
	deadline := time.After(soon)
	for {
		if good() {
			return nil
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-deadline:
			return fmt.Errorf("%s: after %s no %s: shows %v at %s", h.peer.Name, soon, what, h.shown(), h.position())
		}
	}
}

// shows waits until exactly these services are in the feed of the source.
func (h *holder) shows(want ...string) error {
	slices.Sort(want)
	return h.until(fmt.Sprint(want), func() bool { return slices.Equal(h.shown(), want) && !h.position().IsZero() })
}

func (h *holder) shown() []string {
	names := []string{}
	if l, ok := h.set.Get(vms); ok {
		for r := range l.All() {
			names = append(names, r.Key)
		}
	}
	slices.Sort(names)
	return names
}

func (h *holder) position() feed.Position {
	if l, ok := h.set.Get(vms); ok {
		return l.Position()
	}
	return feed.Position{}
}

// report is what the cluster's feed of reports says of the source.
func (h *holder) report() *modelpb.SourceReport {
	if l, ok := h.set.Get(reports); ok {
		if r, ok := l.Get(model.KindSourceReport, "vms"); ok {
			report, err := model.DecodeSourceReport("vms", r.Value)
			check(h.t, err)
			return report
		}
	}
	return &modelpb.SourceReport{}
}

// script is a source that does what a test tells it, one step at a time.
type script struct{ steps chan func(source.Sink) error }

func newScript() *script { return &script{make(chan func(source.Sink) error)} }

func (s *script) Run(ctx context.Context, out source.Sink) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case step := <-s.steps:
			if err := step(out); err != nil {
				return err
			}
		}
	}
}

// do has the source take a step, and returns what it gave.
func (s *script) do(step func(source.Sink) error) error {
	result := make(chan error, 1)
	select {
	case s.steps <- func(out source.Sink) error { err := step(out); result <- err; return nil }:
		return <-result
	case <-time.After(soon):
		return errors.New("the source is not run")
	}
}

func (s *script) replace(services ...string) error {
	return s.do(func(out source.Sink) error { return out.Replace(changes(services...)) })
}

func (s *script) apply(c ...feed.Change) error {
	return s.do(func(out source.Sink) error { return out.Apply(c) })
}

// changes are services of these names.
func changes(names ...string) []feed.Change {
	var all []feed.Change
	for _, name := range names {
		value, err := model.Encode(&modelpb.Service{Name: name, Ports: []*modelpb.Port{{Name: "p", Number: 80}}})
		if err != nil {
			panic(err)
		}
		all = append(all, feed.Change{Kind: model.KindService, Key: name, Value: value})
	}
	return all
}

// member is an agent that a test starts and stops again and again on one data folder.
type member struct {
	t      testing.TB
	config Config
	broken breakage
	agent  *Agent
	done   chan error
	cancel context.CancelFunc
}

func newMember(t testing.TB, s source.Source, holders ...*holder) *member {
	m := &member{t: t, config: Config{
		Cluster: cluster, DataDir: t.TempDir(), Sources: map[string]source.Source{"vms": s}, Log: quiet,
		Heartbeat: 50 * time.Millisecond,
		// Nothing listens on port 1: an agent without servers is one whose servers are all out of reach.
		Servers: []feed.Peer{{Name: "nobody", Address: "127.0.0.1:1"}},
	}}
	for _, h := range holders {
		m.config.Relays = append(m.config.Relays, h.peer)
	}
	t.Cleanup(m.stop)
	return m
}

func (m *member) start() {
	m.t.Helper()
	var err error
	m.agent, err = newAgent(m.config, m.broken)
	check(m.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel, m.done = cancel, make(chan error, 1)
	go func(a *Agent, done chan<- error) { done <- a.Run(ctx) }(m.agent, m.done)
}

func (m *member) stop() {
	if m.cancel == nil {
		return
	}
	m.cancel()
	select {
	case err := <-m.done:
		if err != nil && m.broken == (breakage{}) {
			m.t.Errorf("agent: %v", err)
		}
	case <-time.After(soon):
		m.t.Error("the agent does not stop")
	}
	m.cancel = nil
}

func (m *member) position() feed.Position {
	l, _ := m.agent.set.Get(vms)
	return l.Position()
}

func check(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func says(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }
