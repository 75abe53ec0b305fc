package guard

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"

	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/permit/stream"
)

// handClock is moved by hand; its two readings go apart when a test says so.
type handClock struct {
	mu         sync.Mutex
	mono, wall time.Duration
}

func (c *handClock) Now() permit.Instant {
	c.mu.Lock()
	defer c.mu.Unlock()
	return permit.InstantAt(c.mono, c.wall)
}

func (c *handClock) move(mono, wall time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mono, c.wall = c.mono+mono, c.wall+wall
}

func (c *handClock) pass(d time.Duration) { c.move(d, d) }

const (
	ownCell = "rz01.hz-a"
	write   = "/orders.v1.Orders/Place"
	read    = "/orders.v1.Orders/Get"
)

// users is a map of 100 shards at an epoch: 0 to 24 are of rz01 as change leaves it, the rest of rz03.
func users(epoch uint64, change func(*permitpb.Range)) *permitpb.Map {
	r := &permitpb.Range{From: 0, To: 24, Unit: "rz01", Cells: []string{ownCell, "rz01.hz-b"}, Since: epoch}
	if change != nil {
		change(r)
	}
	return &permitpb.Map{Unitization: "users", Shards: 100, Epoch: epoch, Ranges: []*permitpb.Range{
		r, {From: 25, To: 99, Unit: "rz03", Cells: []string{"rz03.sh-a", "rz03.sh-b"}, Since: 1},
	}}
}

func frozen(r *permitpb.Range) {
	r.Left, r.Cells, r.Frozen = r.Cells, nil, true
}

func moved(r *permitpb.Range) { r.Unit, r.Cells = "rz01", []string{"rz01.sh-a"} }

func rules() *permitpb.RulesResponse {
	return &permitpb.RulesResponse{Rules: []*permitpb.Rules{{
		Unitization: "users", Shards: 100, Header: "x-user-id", Function: permitpb.KeyFunction_KEY_FUNCTION_LAST_DIGITS,
		Services: []*permitpb.Service{{Name: "orders", Reads: []string{read}}},
	}, {
		Unitization: "shared", Shards: 1, Services: []*permitpb.Service{
			{Name: "catalog", Reads: []string{"/catalog.v1.Catalog/Get"}},
		},
	}}}
}

// fataler is a testing.TB, or a rapid.T.
type fataler interface{ Fatal(...any) }

// bench is a guard that is given permits by hand.
type bench struct {
	*Guard
	clock  *handClock
	events []Event
}

func newBench(t fataler, change func(*Config)) *bench {
	b := &bench{clock: &handClock{mono: time.Hour, wall: 50 * 365 * 24 * time.Hour}}
	cfg := Config{
		Cells: []string{ownCell}, Service: "orders", Name: "orders-1", Cluster: "hz-a1", Center: "hz-a", Clock: b.clock,
		Relays:   []stream.Peer{{Name: "relay", Address: "127.0.0.1:1"}},
		Observer: func(e Event) { b.events = append(b.events, e) },
	}
	if change != nil {
		change(&cfg)
	}
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b.Guard = g
	g.takeRules(rules())
	return b
}

// grant is a permit of five seconds that was asked for just now.
func (b *bench) grant(revision uint64, maps ...*permitpb.Map) {
	b.granted(&permit.Permit{Asked: b.clock.Now(), Holds: 5 * time.Second, Revision: revision, Maps: maps})
}

func (b *bench) write(shard string) Decision { return b.Check(write, []string{shard}) }

// passes makes an error of a decision that is not the wanted one; "" passes.
func (b *bench) expect(what, shard string, want Reason) error {
	d := b.write(shard)
	defer d.Release()
	if d.Reason != want {
		return fmt.Errorf("%s: write of shard %s: %q, want %q", what, shard, d.Reason, want)
	}
	return nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// two are workloads in two cells of which the second owns shard 7.
func two(t *testing.T, r *relay) map[string]*workload {
	return map[string]*workload{
		ownCell: newWorkload(t, nil, r),
		"rz01.sh-a": newWorkload(t, func(c *Config) {
			c.Cells, c.Center, c.Name = []string{"rz01.sh-a"}, "sh-a", "orders-2"
		}, r),
	}
}

func (c *caller) last() metadata.MD {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent[len(c.sent)-1]
}
