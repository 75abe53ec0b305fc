package switchover

import (
	"slices"
	"testing"
	"time"
)

func TestDeclareMapRefuses(t *testing.T) {
	owned := func(from, to int) Range { return Range{From: from, To: to, Unit: "u", Cells: []string{"u.a"}} }
	for name, c := range map[string]struct {
		e           DeclareMap
		field, says string
	}{
		"no duration": {DeclareMap{Shards: 2, Baseline: []Range{owned(0, 1)}}, "spec.permit.duration", "above zero"},
		"no shards":   {DeclareMap{Permit: 1}, "spec.shards", "1 or more"},
		"a hole": {DeclareMap{Permit: 1, Shards: 5, Baseline: []Range{owned(0, 1), owned(3, 4)}},
			"spec.units", "nobody owns shards 2"},
		"no end": {DeclareMap{Permit: 1, Shards: 5, Baseline: []Range{owned(0, 1)}}, "spec.units", "there are 5"},
		"beyond": {DeclareMap{Permit: 1, Shards: 5, Baseline: []Range{owned(0, 5)}}, "spec.units", "there are 5"},
		"twice": {DeclareMap{Permit: 1, Shards: 5, Baseline: []Range{owned(0, 2), owned(2, 4)}},
			"spec.units", "another's too"},
		"backwards": {DeclareMap{Permit: 1, Shards: 5, Baseline: []Range{owned(2, 0)}}, "spec.units", "or no range"},
		"without cell": {DeclareMap{Permit: 1, Shards: 1, Baseline: []Range{{Unit: "u"}}}, "spec.units",
			"no active cell"},
		"without unit": {DeclareMap{Permit: 1, Shards: 1, Baseline: []Range{{Cells: []string{"u.a"}}}},
			"spec.units", "no active cell"},
		"more shards": {DeclareMap{Unitization: "users", Permit: 1, Shards: 20}, "spec.shards", "10 for life"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, smallState(t), c.e, c.field, c.says) })
	}
}

// TestReapplyingASpecMovesNothing is rule 22.
func TestReapplyingASpecMovesNothing(t *testing.T) {
	s := committed(t, smallState(t), "x", evacuateHangzhou)
	again := DeclareMap{Unitization: "users", Shards: 10, Permit: 5 * time.Second, Baseline: []Range{
		{From: 0, To: 9, Unit: "u1", Cells: []string{"u1.hz-a"}}}}
	same(t, s, again)
	store := DeclareStore{Store: "s", Members: []string{"hz-a", "sh-a", "sz-a"}, Primary: "hz-a", Synchronous: true,
		HoldsPermit: true}
	same(t, s, store)
	again.Permit, again.Keep = time.Second, true
	epoch := s.Epoch
	s = mustApply(t, s, again)
	if m := s.Maps["users"]; m.Permit != time.Second || !m.Keep || s.Epoch != epoch || !rangeAt(t, s, "users",
		0).Frozen {
		t.Fatalf("%+v", m)
	}
	store.HoldsPermit = false
	refused(t, s, store, "spec.members", "switchover x moves the store")
}

func TestDeclareStore(t *testing.T) {
	s := smallState(t)
	refused(t, s, DeclareStore{Store: "n"}, "spec.members", "empty")
	refused(t, s, DeclareStore{Store: "n", Members: []string{"a"}, Primary: "b"}, "spec.primary", "none of the members")
	refused(t, s, DeclareStore{Store: "s", Members: []string{"sz-a"}, Primary: "sz-a"}, "spec.members",
		"hz-a is the primary")
	s = mustApply(t, s, DeclareStore{Store: "s", Members: []string{"hz-a", "sh-b"}, Primary: "sh-b"})
	if st := s.Stores["s"]; st.Primary != "hz-a" || st.Synchronous || st.HoldsPermit || !slices.Equal(st.Members,
		[]string{"hz-a", "sh-b"}) {
		t.Fatalf("%+v", st)
	}
}

func TestSessions(t *testing.T) {
	s := smallState(t)
	session := Session{ID: "n", Holder: Relay, Name: "relay-n", Cluster: "c", Center: "hz-a"}
	refused(t, s, OpenSession{Session{Holder: Relay}}, "session.id", "empty")
	refused(t, s, OpenSession{Session{ID: "n"}}, "session.holder", "relay or agent")
	refused(t, s, RemoveSession{"relay-hz-a"}, "session.id", "is open")
	s = mustApply(t, s, OpenSession{session})
	same(t, s, OpenSession{session})
	other := session
	other.Center = "sh-a"
	refused(t, s, OpenSession{other}, "session.id", "one process's")
	s = mustApply(t, s, CloseSession{"n"})
	same(t, s, CloseSession{"n"})
	same(t, s, CloseSession{"unknown"})
	refused(t, s, OpenSession{session}, "session.id", "is closed")
	s = mustApply(t, s, RemoveSession{"n"})
	same(t, s, RemoveSession{"n"})
	if s.Sessions["n"] != nil {
		t.Fatal("still there")
	}
}

// TestAClosedSessionIsWaitedForUntilItIsRemoved is rule 3.
func TestAClosedSessionIsWaitedForUntilItIsRemoved(t *testing.T) {
	s := approved(t, smallState(t), "x", evacuateHangzhou)
	s = mustApply(t, s, Freeze{"x", "uid-x"}, CloseSession{"relay-hz-a"})
	freeze := s.Switchovers["x"].Freeze
	same(t, s, AckFreeze{"relay-hz-b", freeze - 1})
	same(t, s, AckFreeze{"relay-sh-a", freeze})
	same(t, s, AckFreeze{"agent-hz-a", freeze})
	same(t, s, AckFreeze{"unknown", freeze})
	s = mustApply(t, s, AckFreeze{"relay-hz-b", freeze})
	same(t, s, AckFreeze{"relay-hz-b", freeze})
	if !slices.Equal(s.Concerned("x"), []string{"relay-hz-a"}) {
		t.Fatalf("concerned %v", s.Concerned("x"))
	}
	s = mustApply(t, s, RemoveSession{"relay-hz-a"})
	mustBe(t, s, "x", PhaseFencing)
}

func TestMapAt(t *testing.T) {
	s := smallState(t)
	for shard, want := range map[int]string{-1: "", 0: "u1", 4: "u1", 5: "u2", 9: "u2", 10: ""} {
		if r, ok := s.MapAt("users", shard); r.Unit != want || ok != (want != "") {
			t.Errorf("shard %d is %q's, want %q", shard, r.Unit, want)
		}
	}
	if _, ok := s.MapAt("nobody", 0); ok {
		t.Error("an unknown map has a range")
	}
}

func TestCellNames(t *testing.T) {
	if cell := CellName("rz01", "hz-a"); cell != "rz01.hz-a" || CellCenter(cell) != "hz-a" {
		t.Fatal(cell, CellCenter(cell))
	}
}
