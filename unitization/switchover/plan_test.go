package switchover

import (
	"slices"
	"testing"
)

func moves(r ...MoveRequest) Request { return Request{Mode: Planned, Moves: r} }

func users(unit string, to ...string) MoveRequest {
	return MoveRequest{Unitization: "users", Unit: unit, ToCenters: to}
}

func TestMakePlanRefuses(t *testing.T) {
	edit := func(m MoveRequest, edit func(*MoveRequest)) Request {
		edit(&m)
		return moves(m)
	}
	for name, c := range map[string]struct {
		request     Request
		field, says string
	}{
		"no mode":          {Request{EvacuateRegion: "hz"}, "spec.mode", "Planned or Disaster"},
		"nothing asked":    {Request{Mode: Planned}, "spec", "exactly one"},
		"two things asked": {Request{Mode: Planned, EvacuateRegion: "hz", ToBaseline: true}, "spec", "exactly one"},
		"unknown region":   {Request{Mode: Planned, EvacuateRegion: "xx"}, "spec.evacuate.region", "no such place"},
		"unknown center":   {Request{Mode: Planned, EvacuateCenter: "xx"}, "spec.evacuate.center", "no such place"},
		"nothing there":    {Request{Mode: Planned, EvacuateCenter: "sh-a"}, "spec", "nothing to move"},
		"at the baseline":  {Request{Mode: Planned, ToBaseline: true}, "spec", "nothing to move"},
		"where it is":      {moves(users("u1", "hz-a", "hz-b")), "spec", "nothing to move"},
		"facts when planned": {Request{Mode: Planned, EvacuateRegion: "hz",
			Facts: map[string]Fact{"s": PoweredOff}}, "spec.oldPrimaries[s]", "only in a Disaster"},
		"fact of no store": {Request{Mode: Disaster, EvacuateRegion: "hz",
			Facts: map[string]Fact{"q": PoweredOff}}, "spec.oldPrimaries[q]", "no such store"},
		"fact of another store": {Request{Mode: Disaster, EvacuateRegion: "hz",
			Facts: map[string]Fact{"t": PoweredOff}},
			"spec.oldPrimaries[t]", "does not close"},
		"unknown fact": {Request{Mode: Disaster, EvacuateRegion: "hz", Facts: map[string]Fact{"s": 7}},
			"spec.oldPrimaries[s]", "must be"},
		"data loss not accepted": {Request{Mode: Disaster, EvacuateRegion: "sz"}, "spec.acceptDataLoss", "store t"},
		"unknown unitization": {moves(MoveRequest{Unitization: "xx", Unit: "u1", ToCenters: []string{"sh-a"}}),
			"spec.moves[0].unitization", "no such"},
		"unknown unit": {moves(users("xx", "sh-a")), "spec.moves[0].unit", "no unit"},
		"a unit that owns none": {moves(MoveRequest{Unitization: "files", Unit: "w", ToCenters: []string{"sh-b"}}),
			"spec.moves[0].unit", "owns no shard"},
		"a City unit": {moves(MoveRequest{Unitization: "files", Unit: "city",
			ToCenters: []string{"sz-a"}}), "spec.moves[0].unit", "no unit"},
		"to an unknown unit": {edit(users("u1", "sh-a"), func(m *MoveRequest) { m.ToUnit = "xx" }),
			"spec.moves[0].toUnit", "no unit"},
		"to another store": {moves(MoveRequest{Unitization: "files", Unit: "v", ToUnit: "w",
			ToCenters: []string{"sz-a"}}),
			"spec.moves[0].toUnit", "data does not move"},
		"to a City unit": {moves(MoveRequest{Unitization: "files", Unit: "v", ToUnit: "city",
			ToCenters: []string{"sz-a"}}),
			"spec.moves[0].toUnit", "no unit"},
		"to nowhere":          {moves(users("u1")), "spec.moves[0].toCenters", "empty"},
		"to an unknown place": {moves(users("u1", "sh-a", "xx")), "spec.moves[0].toCenters[1]", "no such center"},
		"to an Arbiter":       {moves(users("u2", "bj-a")), "spec.moves[0].toCenters[0]", "Arbiter"},
		"to a closed center":  {moves(users("u2", "gz-a")), "spec.moves[0].toCenters[0]", "not Open"},
		"without a cell":      {moves(users("u2", "sh-b")), "spec.moves[0].toCenters[0]", "no cell there"},
		"unknown shard": {edit(users("u1", "sh-a"), func(m *MoveRequest) { m.Shards = []Shards{{0, 0}, {4, 10}} }),
			"spec.moves[0].shards[1]", "0 to 9"},
		"a range that ends before it begins": {edit(users("u1", "sh-a"),
			func(m *MoveRequest) { m.Shards = []Shards{{3, 2}} }),
			"spec.moves[0].shards[0]", "0 to 9"},
		"another's shard": {edit(users("u1", "sh-a"), func(m *MoveRequest) { m.Shards = []Shards{{3, 6}} }),
			"spec.moves[0].shards[0]", "unit u2's"},
		"moved twice": {moves(users("u1", "sh-a"), users("u1", "sh-b")), "spec.moves", "twice"},
		"to a primary that is none": {edit(users("u1", "sh-a"), func(m *MoveRequest) { m.ToPrimary = "sh-b" }),
			"spec.moves[0].toPrimary", "no member"},
		"two primaries for a store": {moves(
			MoveRequest{Unitization: "users", Unit: "u1", ToCenters: []string{"sh-a"}, ToPrimary: "sh-a"},
			MoveRequest{Unitization: "users", Unit: "u2", ToCenters: []string{"sh-a"}, ToPrimary: "sz-a"},
		), "spec.moves[1].toPrimary", "sh-a"},
		"a primary without a store": {moves(MoveRequest{Unitization: "files", Unit: "v",
			ToCenters: []string{"sh-a"}, ToPrimary: "sh-a"}),
			"spec.moves[0].toPrimary", "no store"},
	} {
		t.Run(name, func(t *testing.T) {
			plan, problems := MakePlan(smallWorld(), smallState(t), c.request)
			if len(problems) == 0 {
				t.Fatalf("planned %+v", plan)
			}
			mustName(t, problems, c.field, c.says)
		})
	}
}

func TestAUnitWithoutACellOutsideCannotBeEvacuated(t *testing.T) {
	w := smallWorld()
	for _, name := range []string{"sh-a", "sh-b"} {
		w.Centers[name] = Center{Region: "sh", Full: true}
	}
	_, problems := MakePlan(w, smallState(t), evacuateHangzhou)
	mustName(t, problems, "spec.evacuate.region", "u1: the unit has no cell in an open center outside")

	w = smallWorld()
	s := mustApply(t, smallState(t), DeclareStore{Store: "s", Members: []string{"hz-a", "hz-b"}, Synchronous: true,
		HoldsPermit: true})
	_, problems = MakePlan(w, s, evacuateHangzhou)
	mustName(t, problems, "spec.evacuate.region", "s: the store has no member")

	w = smallWorld()
	w.Unitizations["users"].Units[0].Store = "lost"
	_, problems = MakePlan(w, smallState(t), evacuateHangzhou)
	mustName(t, problems, "spec", "lost: there is no such store")
}

func TestEvacuationExpands(t *testing.T) {
	plan, problems := MakePlan(smallWorld(), smallState(t), evacuateHangzhou)
	want := Plan{
		Moves: []Move{
			{"files", 0, 3, "v", "v", []string{"v.hz-a", "v.hz-b"}, []string{"v.sh-a"}, ""},
			{"users", 0, 4, "u1", "u1", []string{"u1.hz-a", "u1.hz-b"}, []string{"u1.sh-a", "u1.sh-b"}, "s"},
			{"users", 5, 9, "u2", "u2", []string{"u2.hz-a", "u2.hz-b"}, []string{"u2.sh-a"}, "s"},
		},
		Stores: []StoreMove{{"s", "hz-a", "sh-a"}},
	}
	if len(problems) > 0 || plan.Hash() != want.Hash() {
		t.Fatalf("%+v %v, want %+v", plan, problems, want)
	}
	// The primary's center goes: the unit stays in the region, and the store has no member there.
	plan, problems = MakePlan(smallWorld(), smallState(t), Request{Mode: Planned, EvacuateCenter: "hz-a"})
	if len(problems) > 0 || len(plan.Moves) != 3 || !slices.Equal(plan.Moves[1].ToCells, []string{"u1.hz-b"}) ||
		!slices.Equal(plan.Stores, []StoreMove{{"s", "hz-a", "sh-a"}}) {
		t.Fatalf("%+v %v", plan, problems)
	}
}

// TestWhatIsBehindAStoreMovesAsAWhole: one fence closes all of it, so all of it is frozen, and locked.
func TestWhatIsBehindAStoreMovesAsAWhole(t *testing.T) {
	plan, problems := MakePlan(smallWorld(), smallState(t), Request{Mode: Planned,
		Moves: []MoveRequest{{Unitization: "users", Unit: "u1", Shards: []Shards{{1, 1}},
			ToCenters: []string{"sh-a"}, ToPrimary: "sh-a"}}})
	if len(problems) > 0 || len(plan.Moves) != 4 {
		t.Fatalf("%+v %v", plan, problems)
	}
	if m := plan.Moves[3]; m.Unit != "u2" || !slices.Equal(m.Cells, m.ToCells) {
		t.Fatalf("%+v", m)
	}
}

func TestMovesWithoutAPrimaryTakeItAlongWhenTheyLeaveIt(t *testing.T) {
	plan, _ := MakePlan(smallWorld(), smallState(t), moves(users("u1", "sh-a"), users("u2", "sh-a")))
	if !slices.Equal(plan.Stores, []StoreMove{{"s", "hz-a", "sh-a"}}) {
		t.Fatalf("%+v", plan)
	}
	plan, _ = MakePlan(smallWorld(), smallState(t), moves(users("u1", "hz-a")))
	if len(plan.Stores) != 0 {
		t.Fatalf("%+v", plan)
	}
}

func TestBackToTheBaseline(t *testing.T) {
	s := committed(t, smallState(t), "x", evacuateHangzhou)
	s = report(t, s, "s", "sh-a", Position{1, 9})
	s = report(t, s, "s", "sh-a", Position{1, 9})
	s = mustApply(t, s, Converged{Name: "x", UID: "uid-x"})
	w := smallWorld()
	w.Centers["hz-b"] = Center{Region: "hz", Full: true}
	_, problems := MakePlan(w, s, Request{Mode: Planned, ToBaseline: true})
	mustName(t, problems, "spec.returnToBaseline", "hz-b: is not Open")
	s = committed(t, s, "y", Request{Mode: Planned, ToBaseline: true})
	s = report(t, s, "s", "hz-a", Position{1, 9})
	start := smallState(t)
	for unitization, m := range start.Maps {
		for i, want := range m.Ranges {
			if got := s.Maps[unitization].Ranges[i]; got.From != want.From || got.Unit != want.Unit ||
				!slices.Equal(got.Cells, want.Cells) {
				t.Errorf("%s: %+v, want %+v", unitization, got, want)
			}
		}
	}
	if s.Stores["s"].Primary != "hz-a" {
		t.Errorf("primary %s", s.Stores["s"].Primary)
	}
}

func TestEqualPlansHaveEqualHashes(t *testing.T) {
	plan, _ := MakePlan(smallWorld(), smallState(t), evacuateHangzhou)
	again, _ := MakePlan(smallWorld(), smallState(t), evacuateHangzhou)
	if plan.Hash() != again.Hash() || len(plan.Hash()) != 32 {
		t.Fatalf("%s and %s", plan.Hash(), again.Hash())
	}
	again.Moves[0].ToCells = []string{"v.hz-a"}
	if plan.Hash() == again.Hash() {
		t.Fatal("another plan has the same hash")
	}
}
