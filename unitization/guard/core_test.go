package guard

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/permit/stream"
)

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
