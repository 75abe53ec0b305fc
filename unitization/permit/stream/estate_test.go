package stream

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
)

func peer(name string) Peer { return Peer{Name: name, Address: name} }

func anyone(context.Context, *permitpb.Open) error { return nil }

// relay is a hop with its client and server.
type relay struct {
	hop    *permit.Hop
	client *Client
	stop   func()
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// tell is what ServerConfig.Rules is.
type tell func() (*permitpb.RulesResponse, <-chan struct{})

func peersOf(names []string) (peers []Peer) {
	for _, name := range names {
		peers = append(peers, peer(name))
	}
	return peers
}

// running runs until the returned function is called, which waits.
func running(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); run(ctx) }()
	return sync.OnceFunc(func() { cancel(); <-done })
}

// guard is a holder that does what guards do, without any writes.
type guard struct {
	client *Client
	clock  permit.Clock
	stop   func()

	mu       sync.Mutex
	permit   *permit.Permit
	grants   int
	busy     bool
	released bool
	since    map[uint32]uint64
	frozen   chan struct{}
}

func (g *guard) Granted(p *permit.Permit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.permit = p
	g.grants++
	for _, f := range g.closed() {
		if g.since[0] < f {
			g.since[0] = f
			select {
			case g.frozen <- struct{}{}:
			default:
			}
		}
	}
}

func (g *guard) closed() (closed []uint64) {
	for _, m := range g.permit.Maps {
		for _, r := range m.Ranges {
			if r.Frozen && slices.Contains(r.Left, "rz01.hz-a") && !g.busy {
				closed = append(closed, r.Since)
			}
		}
	}
	return closed
}

func (g *guard) Closed() []uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.permit == nil {
		return nil
	}
	return g.closed()
}

func (g *guard) Rendered() uint64 { return 0 }

func (g *guard) Released() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.released
}

// open says whether the guard may accept writes for shard 0.
func (g *guard) open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.permit.Left(g.clock.Now()) > 0 && len(g.permit.Maps) > 0 && !g.permit.Maps[0].Ranges[0].Frozen
}

func (g *guard) set(change func(*guard)) {
	g.mu.Lock()
	change(g)
	g.mu.Unlock()
	g.client.Ask()
}

// eventually waits for a condition, and fails the test when it does not come.
func eventually(t testing.TB, what string, within time.Duration, is func() bool) time.Duration {
	t.Helper()
	begun := time.Now()
	for !is() {
		if time.Since(begun) > within {
			t.Fatalf("%s: not within %s", what, within)
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(begun)
}
