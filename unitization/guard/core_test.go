package guard

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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

// permitEnds is rule 1: who has had no answer for T refuses writes, whatever else it was told last; reads go on.
func permitEnds(t testing.TB, broken breakage) error {
	b := newBench(t, func(c *Config) { c.broken = broken })
	if err := b.expect("before the first permit", "7", NoPermit); err != nil {
		return err
	}
	b.grant(3, users(3, nil))
	b.clock.pass(5*time.Second - 1)
	if err := b.expect("just before the end", "7", ""); err != nil {
		return err
	}
	b.clock.pass(1)
	if err := b.expect("at the end", "7", NoPermit); err != nil {
		return err
	}
	if d := b.Check(read, []string{"7"}); d.Reason != "" {
		return fmt.Errorf("a read was refused: %s", d.Reason)
	}
	b.grant(3, users(3, nil))
	return b.expect("under a new permit", "7", "")
}

// countsFromAsk is rule 2: the answer took three seconds.
func countsFromAsk(t testing.TB, broken breakage) error {
	b := newBench(t, func(c *Config) { c.broken = broken })
	asked := b.clock.Now()
	b.clock.pass(3 * time.Second)
	b.granted(&permit.Permit{Asked: asked, Holds: 5 * time.Second, Revision: 3, Maps: []*permitpb.Map{users(3, nil)}})
	b.clock.pass(2*time.Second - 1)
	if err := b.expect("five seconds less a nanosecond after the ask", "7", ""); err != nil {
		return err
	}
	b.clock.pass(1)
	return b.expect("five seconds after the ask", "7", NoPermit)
}

// clocksApart is rule 2: time passes while the machine is suspended, and a wall clock may be set back.
func clocksApart(t testing.TB, broken breakage) error {
	b := newBench(t, func(c *Config) { c.broken = broken })
	b.grant(3, users(3, nil))
	b.clock.move(time.Second, 10*time.Second)
	if err := b.expect("after a suspend of ten seconds", "7", NoPermit); err != nil {
		return err
	}
	b.grant(3, users(3, nil))
	b.clock.move(5*time.Second, -time.Hour)
	return b.expect("after the wall clock was set back", "7", NoPermit)
}

// drains is rule 6: a freeze is closed when nothing is in flight, and the relay hears of it at once.
func drains(t testing.TB, broken breakage) error {
	b := newBench(t, func(c *Config) { c.broken = broken })
	b.grant(3, users(3, nil))
	one, other := b.write("7"), b.write("8")
	b.grant(4, users(4, frozen))
	if err := b.expect("during the freeze", "9", Frozen); err != nil {
		return err
	}
	if closed := b.closed(); len(closed) > 0 {
		return fmt.Errorf("freeze %v was named closed with two writes in flight", closed)
	}
	one.Release()
	if closed := b.closed(); len(closed) > 0 {
		return fmt.Errorf("freeze %v was named closed with a write in flight", closed)
	}
	for len(b.wakes) > 0 {
		<-b.wakes
	}
	other.Release()
	if len(b.wakes) == 0 {
		return fmt.Errorf("the last write's end made no ask")
	}
	if closed := b.closed(); !slices.Equal(closed, []uint64{4}) {
		return fmt.Errorf("closed are %v, want 4", closed)
	}
	return nil
}

// between is rule 6: a freeze comes between a write's look at the map and its count.
func between(t testing.TB, broken breakage) error {
	var b *bench
	var closed []uint64
	begun := false
	b = newBench(t, func(c *Config) {
		c.broken = broken
		c.paused = func() {
			if !begun {
				begun = true
				b.grant(4, users(4, frozen))
				closed = b.closed()
			}
		}
	})
	b.grant(3, users(3, nil))
	d := b.write("7")
	defer d.Release()
	if d.Reason == "" && slices.Contains(closed, 4) {
		return fmt.Errorf("a write under since %d was let through after freeze 4 was named closed", d.Since)
	}
	if !slices.Equal(b.closed(), []uint64{4}) {
		return fmt.Errorf("the freeze is not closed: %v", b.closed())
	}
	return nil
}

// movesToOlderRelay is rule 6: the next relay is behind.
func movesToOlderRelay(t testing.TB, broken breakage) error {
	b := newBench(t, func(c *Config) { c.broken = broken })
	b.grant(3, users(3, nil))
	b.grant(6, users(6, moved))
	b.clock.pass(time.Second)
	b.grant(3, users(3, nil))
	if err := b.expect("by an older answer", "7", WrongCell); err != nil {
		return err
	}
	// The other way round: an answer of before the shard was ours is no right for it, nor does it take away what is held.
	b.grant(9, users(9, nil))
	b.clock.pass(3 * time.Second)
	b.grant(6, users(6, moved))
	if err := b.expect("under what is held", "7", ""); err != nil {
		return err
	}
	b.clock.pass(2 * time.Second)
	return b.expect("after its end", "7", NoPermit)
}

// oneShard is rule 7: exactly one canonical shard.
func oneShard(t testing.TB, broken breakage) error {
	b := newBench(t, func(c *Config) { c.broken = broken })
	b.grant(3, users(3, nil))
	for _, values := range [][]string{{"7", "7"}, {"7", "8"}, {"7,7"}, {"7, 8"}, {"007"}, {"+7"}, {" 7"}, {"100"}, {""}} {
		for _, method := range []string{write, read} {
			if d := b.Check(method, values); d.Reason != BadShard {
				return fmt.Errorf("%s with shards %q: %q, want %s", method, values, d.Reason, BadShard)
			}
		}
	}
	return nil
}

// undeclaredWrites is rule 7: what no table names is a write.
func undeclaredWrites(t testing.TB, broken breakage) error {
	b := newBench(t, func(c *Config) { c.broken = broken })
	b.grant(3, users(3, frozen))
	for method, want := range map[string]Reason{
		read: "", write: Frozen, read + "s": Frozen, "/orders.v1.Orders/get": Frozen, "/orders.v2.Orders/Get": Frozen,
		"": Frozen,
	} {
		if d := b.Check(method, []string{"7"}); d.Reason != want {
			return fmt.Errorf("method %q: %q, want %q", method, d.Reason, want)
		}
	}
	return nil
}

// onlyOwnCell is rule 8: an active cell is not this one because it is near, or of the same unit.
func onlyOwnCell(t testing.TB, broken breakage) error {
	b := newBench(t, func(c *Config) { c.broken = broken })
	b.grant(3, users(3, func(r *permitpb.Range) { r.Cells = []string{"rz01.hz-b", "rz02.hz-a"} }))
	d := b.write("7")
	if d.Reason != WrongCell || d.Unit != "rz01" || d.Cell != "rz02.hz-a" {
		return fmt.Errorf("write of shard 7: %q, unit %s, cell %s: want WRONG_CELL, rz01, the near rz02.hz-a", d.Reason,
			d.Unit, d.Cell)
	}
	return b.expect("of another unit's shard", "30", WrongCell)
}

func TestRulesHold(t *testing.T) {
	for name, rule := range map[string]func(testing.TB, breakage) error{
		"a permit ends": permitEnds, "counted from the ask": countsFromAsk, "two clocks": clocksApart, "drain": drains,
		"freeze between look and count": between, "never back in since": movesToOlderRelay, "one shard": oneShard,
		"undeclared is a write": undeclaredWrites, "own cell": onlyOwnCell,
	} {
		t.Run(name, func(t *testing.T) {
			if err := rule(t, 0); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestKeepGoesOnWithTheLastMapItKnew(t *testing.T) {
	b := newBench(t, nil)
	keep := func(m *permitpb.Map) *permitpb.Map { m.Keep = true; return m }
	if err := b.expect("before the first permit", "7", NoPermit); err != nil {
		t.Error(err)
	}
	b.grant(3, keep(users(3, nil)))
	b.clock.pass(time.Hour)
	if err := first(b.expect("an hour later", "7", ""), b.expect("of another unit", "30", WrongCell)); err != nil {
		t.Error(err)
	}
	b.grant(4, keep(users(4, frozen)))
	b.clock.pass(time.Hour)
	if err := b.expect("frozen", "7", Frozen); err != nil {
		t.Error(err)
	}
	// The unit stops keeping without a change of the map.
	b.grant(5, keep(users(5, nil)))
	b.grant(6, users(5, nil))
	b.clock.pass(5 * time.Second)
	if err := b.expect("no longer Keep", "7", NoPermit); err != nil {
		t.Error(err)
	}
}

func TestFreezeOfSeveralRangesIsClosedWhenAllAreDrained(t *testing.T) {
	b := newBench(t, nil)
	two := func(epoch uint64, change func(*permitpb.Range)) *permitpb.Map {
		m := users(epoch, change)
		r := &permitpb.Range{From: 25, To: 49, Unit: "rz02", Cells: []string{ownCell}, Since: epoch}
		if change != nil {
			change(r)
		}
		m.Ranges[1].From = 50
		m.Ranges = slices.Insert(m.Ranges, 1, r)
		return m
	}
	b.grant(3, two(3, nil))
	late := b.write("30")
	b.grant(4, two(4, frozen))
	if closed := b.closed(); len(closed) > 0 {
		t.Errorf("closed %v with a write in flight in the second range", closed)
	}
	late.Release()
	if closed := b.closed(); !slices.Equal(closed, []uint64{4}) {
		t.Errorf("closed %v, want 4", closed)
	}
}

func TestFreezeThatIsNotOurOwnIsNotNamed(t *testing.T) {
	b := newBench(t, nil)
	b.grant(4, users(4, func(r *permitpb.Range) { r.Frozen, r.Cells, r.Left = true, nil, []string{"rz01.hz-b"} }))
	if closed := b.closed(); len(closed) > 0 {
		t.Errorf("closed %v", closed)
	}
}

func TestWrongMapsGiveNoRight(t *testing.T) {
	for name, change := range map[string]func(*permitpb.Map){
		"a gap":       func(m *permitpb.Map) { m.Ranges[1].From = 26 },
		"an overlap":  func(m *permitpb.Map) { m.Ranges[1].From = 24 },
		"beyond":      func(m *permitpb.Map) { m.Ranges[1].To = 100 },
		"not all":     func(m *permitpb.Map) { m.Ranges = m.Ranges[:1] },
		"no ranges":   func(m *permitpb.Map) { m.Ranges = nil },
		"no shards":   func(m *permitpb.Map) { m.Shards = 0 },
		"many shards": func(m *permitpb.Map) { m.Shards = 1 << 30 },
	} {
		b := newBench(t, nil)
		m := users(3, nil)
		change(m)
		b.grant(3, m)
		if err := b.expect(name, "7", NoPermit); err != nil {
			t.Error(err)
		}
	}
	b := newBench(t, nil)
	b.grant(3, users(3, nil))
	b.grant(9, &permitpb.Map{Unitization: "users", Shards: 1, Epoch: 9,
		Ranges: []*permitpb.Range{{Unit: "rz01", Cells: []string{ownCell}, Since: 9}}})
	b.clock.pass(5 * time.Second)
	if err := b.expect("another number of shards", "7", NoPermit); err != nil {
		t.Error(err)
	}
}

func TestSingleShardNeedsNoHeader(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Service, c.Cells = "catalog", []string{"gz.hz-a"} })
	b.grant(3, &permitpb.Map{Unitization: "shared", Shards: 1, Epoch: 3,
		Ranges: []*permitpb.Range{{Unit: "gz", Cells: []string{"gz.hz-a"}, Since: 3}}})
	for _, c := range []struct {
		values []string
		want   Reason
	}{{nil, ""}, {[]string{"0"}, ""}, {[]string{"1"}, BadShard}, {[]string{"0", "0"}, BadShard},
		{[]string{"00"}, BadShard}} {
		d := b.Check("/catalog.v1.Catalog/Put", c.values)
		if d.Reason != c.want {
			t.Errorf("shards %q: %q, want %q", c.values, d.Reason, c.want)
		}
		d.Release()
	}
	if n := b.InFlight(); n != 0 {
		t.Errorf("%d in flight", n)
	}
}

func TestWithoutRulesTheOnlyMapCountsAndEverythingIsAWrite(t *testing.T) {
	b := newBench(t, nil)
	b.tables = nil
	b.grant(3, users(3, nil))
	b.mu.Lock()
	b.replace(&state{all: b.state.Load().all})
	b.mu.Unlock()
	if err := b.expect("without rules", "7", ""); err != nil {
		t.Error(err)
	}
	b.clock.pass(5 * time.Second)
	if d := b.Check(read, []string{"7"}); d.Reason != NoPermit {
		t.Errorf("a read by no table: %q", d.Reason)
	}
}

func TestEventsSayWhatOpenedAndClosedAndEachWrite(t *testing.T) {
	b := newBench(t, nil)
	tell := func(method, shard string) {
		d := b.Check(method, []string{shard})
		b.tell(&d, method)
		d.Release()
	}
	b.grant(3, users(3, nil))
	tell(write, "7")
	tell(read, "7")
	tell(write, "30")
	b.grant(4, users(4, frozen))
	tell(write, "7")
	b.grant(5, users(5, nil))
	b.clock.pass(5 * time.Second)
	b.tellDoors(b.clock.Now())
	b.tellDoors(b.clock.Now())
	var got []string
	for _, e := range b.events {
		if e.At.IsZero() || e.Unitization != "users" || e.Cell != ownCell {
			t.Errorf("event %+v", e)
		}
		got = append(got, fmt.Sprintf("%s %d %d-%d since %d %s", e.Kind, e.Shard, e.From, e.To, e.Since, e.Reason))
	}
	want := []string{
		"Opened 0 0-24 since 3 ", "Accepted 7 0-0 since 3 ", "Refused 30 0-0 since 1 WRONG_CELL",
		"Closed 0 0-24 since 4 FROZEN", "Refused 7 0-0 since 4 FROZEN", "Opened 0 0-24 since 5 ",
		"Closed 0 0-24 since 5 NO_PERMIT",
	}
	if !slices.Equal(got, want) {
		t.Errorf("events\n%q, want\n%q", got, want)
	}
}

func TestConfigIsValidated(t *testing.T) {
	right := Config{Cells: []string{ownCell}, Service: "orders", Name: "n", Center: "hz-a",
		Relays: []stream.Peer{{Name: "r", Address: "a:1"}}}
	if err := right.Validate(); err != nil {
		t.Fatal(err)
	}
	for says, change := range map[string]func(*Config){
		"guard: cells: are required":              func(c *Config) { c.Cells = nil },
		"guard: service: is required":             func(c *Config) { c.Service = "" },
		"guard: name: is required":                func(c *Config) { c.Name = "" },
		"guard: center: is required":              func(c *Config) { c.Center = "" },
		"guard: relays: are required":             func(c *Config) { c.Relays = nil },
		"guard: every: -1s: must not be negative": func(c *Config) { c.Every = -time.Second },
		"guard: drain: -1s: must not be negative": func(c *Config) { c.Drain = -time.Second },
		`guard: cells: "rz01.sh-a": must be <unit>.hz-a, since the guard is in center hz-a`: func(c *Config) {
			c.Cells = []string{"rz01.sh-a"}
		},
		`guard: cells: ".hz-a": must be <unit>.hz-a, since the guard is in center hz-a`: func(c *Config) {
			c.Cells = []string{".hz-a"}
		},
	} {
		c := right
		change(&c)
		if _, err := New(c); err == nil || err.Error() != says {
			t.Errorf("got %v, want %s", err, says)
		}
	}
}

func TestMetricsTellTheReasons(t *testing.T) {
	registry := prometheus.NewRegistry()
	b := newBench(t, func(c *Config) { c.Metrics = registry })
	newBench(t, func(c *Config) { c.Metrics, c.Name = registry, "orders-2" })
	b.grant(3, users(3, nil))
	for _, shard := range []string{"7", "8", "30", "x"} {
		d := b.write(shard)
		b.tell(&d, write)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"pentad_guard_accepted_total orders-1 orders": 2, "pentad_guard_in_flight orders-1 orders": 2,
		"pentad_guard_refused_total orders-1 WRONG_CELL orders": 1, "pentad_guard_refused_total orders-1 BAD_SHARD orders": 1,
		"pentad_guard_refused_total orders-1 FROZEN orders": 0, "pentad_guard_accepted_total orders-2 orders": 0,
	} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s: %v, want %v", name, value, want)
		}
	}
}
