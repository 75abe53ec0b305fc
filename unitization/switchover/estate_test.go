package switchover

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// The small estate of the tests of transitions: unit u1 has shards 0 to 4, u2 the others, both in store s; v is on
// its own, without a store; g is Global.
func smallWorld() World {
	full := func(region string) Center { return Center{Region: region, Full: true, Open: true} }
	cells := func(centers ...string) []Cell {
		var cells []Cell
		for i, center := range centers {
			cells = append(cells, Cell{Center: center, Standby: i > 1})
		}
		return cells
	}
	return World{
		Centers: map[string]Center{
			"hz-a": full("hz"), "hz-b": full("hz"), "sh-a": full("sh"), "sh-b": full("sh"),
			"sz-a": full("sz"), "bj-a": {Region: "bj"}, "gz-a": {Region: "gz", Full: true},
		},
		Unitizations: map[string]Unitization{
			"users": {Shards: 10, Units: []Unit{
				{Name: "u1", Owns: true, Baseline: []Shards{{0, 4}}, Cells: cells("hz-a", "hz-b", "sh-a", "sh-b"),
					Store: "s"},
				{Name: "u2", Owns: true, Baseline: []Shards{{5, 9}}, Cells: cells("hz-a", "hz-b", "sh-a", "gz-a",
					"bj-a"), Store: "s"},
			}},
			"files": {Shards: 4, Units: []Unit{
				{Name: "v", Owns: true, Baseline: []Shards{{0, 3}}, Cells: cells("hz-a", "hz-b", "sh-a")},
				{Name: "w", Owns: true, Cells: cells("sz-a", "sh-b", "hz-a"), Store: "t"},
				{Name: "city", Cells: cells("sz-a")},
			}},
			"shared": {Shards: 1, Units: []Unit{
				{Name: "g", Owns: true, Baseline: []Shards{{0, 0}}, Cells: []Cell{{Center: "sz-a"}, {Center: "sh-b",
					Standby: true}}, Store: "t"},
			}},
		},
		Stores: map[string]StoreBaseline{"s": {Primary: "hz-a"}, "t": {Primary: "sz-a"}},
	}
}

// smallState is the estate at its baseline: epoch 3, with a relay and an agent in each center.
func smallState(t testing.TB) State {
	t.Helper()
	var s State
	for _, e := range []Event{
		DeclareStore{Store: "s", Members: []string{"sz-a", "hz-a", "sh-a"}, Primary: "hz-a", Synchronous: true,
			HoldsPermit: true},
		DeclareStore{Store: "t", Members: []string{"sz-a", "sh-b"}, Primary: "sz-a"},
		DeclareMap{Unitization: "users", Shards: 10, Permit: 5 * time.Second, Baseline: []Range{
			{From: 5, To: 9, Unit: "u2", Cells: []string{"u2.hz-b", "u2.hz-a"}},
			{From: 0, To: 4, Unit: "u1", Cells: []string{"u1.hz-a", "u1.hz-b"}},
		}},
		DeclareMap{Unitization: "files", Shards: 4, Permit: 5 * time.Second, Baseline: []Range{
			{From: 0, To: 3, Unit: "v", Cells: []string{"v.hz-a", "v.hz-b"}},
		}},
		DeclareMap{Unitization: "shared", Shards: 1, Permit: 5 * time.Second, Baseline: []Range{
			{From: 0, To: 0, Unit: "g", Cells: []string{"g.sz-a"}},
		}},
	} {
		s = mustApply(t, s, e)
	}
	for _, center := range []string{"hz-a", "hz-b", "sh-a", "sh-b", "sz-a"} {
		s = mustApply(t, s, OpenSession{Session{ID: "relay-" + center, Holder: Relay, Name: "relay-" + center,
			Center: center}})
		s = mustApply(t, s, OpenSession{Session{ID: "agent-" + center, Holder: Agent, Name: "agent-" + center,
			Center: center}})
	}
	return s
}

func mustApply(t testing.TB, s State, events ...Event) State {
	t.Helper()
	for _, e := range events {
		next, problems := s.Apply(e)
		if len(problems) > 0 {
			t.Fatalf("%T %+v is refused: %v", e, e, problems)
		}
		if err := next.Check(); err != nil {
			t.Fatalf("after %T %+v: %v", e, e, err)
		}
		s = next
	}
	return s
}

// refused applies an event that must be refused, with no effect, and with a problem that names field and says what.
func refused(t testing.TB, s State, e Event, field, says string) {
	t.Helper()
	before, _ := s.Encode()
	next, problems := s.Apply(e)
	mustName(t, problems, field, says)
	if after, _ := next.Encode(); !slices.Equal(before, after) {
		t.Fatalf("%T is refused, and changed the state", e)
	}
}

func mustName(t testing.TB, problems []Problem, field, says string) {
	t.Helper()
	if len(problems) == 0 {
		t.Fatalf("not refused; want %s: %s", field, says)
	}
	for _, p := range problems {
		if p.Field == field && strings.Contains(p.String(), says) {
			return
		}
	}
	t.Fatalf("refused for %v; want %s: %s", problems, field, says)
}

// same applies an event that must change nothing.
func same(t testing.TB, s State, e Event) {
	t.Helper()
	before, _ := s.Encode()
	next := mustApply(t, s, e)
	if after, _ := next.Encode(); !slices.Equal(before, after) {
		t.Fatalf("%T changed the state from\n%s\nto\n%s", e, before, after)
	}
}

// declared is a switchover of the request, planned and approved.
func declared(t testing.TB, s State, name string, r Request) State {
	t.Helper()
	plan, problems := MakePlan(smallWorld(), s, r)
	if len(problems) > 0 {
		t.Fatalf("no plan for %+v: %v", r, problems)
	}
	return mustApply(t, s, Declare{Name: name, UID: "uid-" + name, Request: r, Plan: plan})
}

func approved(t testing.TB, s State, name string, r Request) State {
	t.Helper()
	s = declared(t, s, name, r)
	plan, _ := MakePlan(smallWorld(), s, r)
	return mustApply(t, s, Approve{Name: name, UID: "uid-" + name, Hash: plan.Hash(), Approver: "ann", Plan: plan})
}

// acked has every concerned session acknowledge.
func acked(t testing.TB, s State, name string) State {
	t.Helper()
	for _, id := range s.Concerned(name) {
		s = mustApply(t, s, AckFreeze{Session: id, Freeze: s.Switchovers[name].Freeze})
	}
	return s
}

// report has a member obey the order in force.
func report(t testing.TB, s State, store, member string, at Position) State {
	t.Helper()
	return mustApply(t, s, reportOf(s, store, member, at))
}

func reportOf(s State, store, member string, at Position) StoreReported {
	order := s.Stores[store].Order
	return StoreReported{Store: store, Member: member, UID: order.UID,
		Report: Report{Step: order.Step, Token: order.Token, Position: at}}
}

func mustBe(t testing.TB, s State, name string, phase Phase) {
	t.Helper()
	if got := s.Switchovers[name].Phase; got != phase {
		t.Fatalf("%s is %s, want %s: %s", name, got, phase, s.Waiting(name))
	}
}

func rangeAt(t testing.TB, s State, unitization string, shard int) Range {
	t.Helper()
	r, ok := s.MapAt(unitization, shard)
	if !ok {
		t.Fatalf("nobody owns shard %d of %s", shard, unitization)
	}
	return r
}
