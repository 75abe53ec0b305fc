package v1alpha1

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type change = func(*SwitchoverSpec)

func evacuate(region, center string) change {
	return func(s *SwitchoverSpec) { s.Evacuate = &Evacuation{Region: region, Center: center} }
}

func baseline(s *SwitchoverSpec) { s.ReturnToBaseline = true }

func moves(all ...Move) change { return func(s *SwitchoverSpec) { s.Moves = all } }

// move takes shards of a unit of users to sh-a.
func move(unit string, shards ...ShardRange) Move {
	return Move{Unitization: "users", Unit: unit, Shards: shards, ToCenters: []string{"sh-a"}}
}

func changed(m Move, edit func(*Move)) Move { edit(&m); return m }

func TestValidateSwitchover(t *testing.T) {
	created := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	due := func(after time.Duration) *Switchover {
		s := switchover(SwitchoverPlanned, baseline)
		s.CreationTimestamp = metav1.NewTime(created)
		s.Spec.Deadline = &metav1.Time{Time: created.Add(after)}
		return s
	}
	old := func(all ...OldPrimary) change { return func(s *SwitchoverSpec) { s.OldPrimaries = all } }
	accept := func(s *SwitchoverSpec) { s.AcceptDataLoss = true }
	supersede := func(name string) change { return func(s *SwitchoverSpec) { s.Supersedes = name } }
	of := func(m Move) *Switchover { return switchover(SwitchoverPlanned, moves(m)) }
	for name, c := range map[string]struct {
		object *Switchover
		want   []mistake
	}{
		"region":   {switchover(SwitchoverPlanned, evacuate("hangzhou", "")), nil},
		"center":   {switchover(SwitchoverDrill, evacuate("", "hz-a")), nil},
		"baseline": {switchover(SwitchoverPlanned, baseline), nil},
		"moves": {switchover(SwitchoverPlanned, moves(move("rz01", ShardRange{0, 9}), move("rz01", ShardRange{10, 19}),
			move("rz02"))), nil},
		"disaster": {switchover(SwitchoverDisaster, evacuate("hangzhou", ""), accept, supersede("other"),
			old(OldPrimary{"a", OldPrimaryPoweredOff}, OldPrimary{"b", OldPrimaryBreakGlass})), nil},
		"unknown mode": {switchover("Fast", baseline), []mistake{{"spec.mode", "Fast",
			`supported values: "Planned", "Disaster", "Drill"`}}},
		"no mode": {switchover("", baseline), []mistake{{"spec.mode", "", "supported values"}}},
		"nothing": {switchover(SwitchoverPlanned), []mistake{{"spec", "[]",
			"must have exactly one of evacuate, moves and returnToBaseline"}}},
		"two": {switchover(SwitchoverPlanned, baseline, moves(move("rz01"))), []mistake{{"spec", "[moves returnToBaseline]",
			"exactly one of"}}},
		"three": {switchover(SwitchoverPlanned, baseline, moves(move("rz01")), evacuate("a", "")), []mistake{{"spec",
			"[evacuate moves returnToBaseline]", "exactly one of"}}},
		"empty evacuation": {switchover(SwitchoverPlanned, evacuate("", "")), []mistake{{"spec.evacuate", Evacuation{},
			"must have exactly one of region and center"}}},
		"region and center": {switchover(SwitchoverPlanned, evacuate("a", "b")), []mistake{{"spec.evacuate",
			Evacuation{"a", "b"}, "exactly one of region and center"}}},
		"bad region": {switchover(SwitchoverPlanned, evacuate("Hang", "")), []mistake{{"spec.evacuate.region", "Hang",
			"RFC 1123 label"}}},
		"due": {due(time.Second), nil},
		"overdue": {due(-time.Second), []mistake{
			{"spec.deadline", "2026-11-21T11:59:59Z", "must be after the creation at 2026-11-21T12:00:00Z"}}},
		"due now": {due(0), []mistake{{"spec.deadline", "2026-11-21T12:00:00Z", "must be after the creation"}}},
		"only in a disaster": {switchover(SwitchoverDrill, baseline, accept, supersede("x"),
			old(OldPrimary{"a", OldPrimaryPoweredOff})), []mistake{
			{"spec.oldPrimaries", "", "must not be set with mode Drill: only a Disaster goes on without the old side"},
			{"spec.acceptDataLoss", "", "must not be set with mode Drill"}, {"spec.supersedes", "", "must not be set with"}}},
		"supersedes itself": {switchover(SwitchoverDisaster, baseline, supersede("s")), []mistake{{"spec.supersedes", "s",
			"must be another switchover"}}},
		"unknown fact": {switchover(SwitchoverDisaster, baseline, old(OldPrimary{"a", "Gone"})), []mistake{
			{"spec.oldPrimaries[0].fact", "Gone", `supported values: "PoweredOff", "BreakGlass"`}}},
		"primary twice": {switchover(SwitchoverDisaster, baseline, old(OldPrimary{"a", OldPrimaryBreakGlass},
			OldPrimary{"a", OldPrimaryPoweredOff})), []mistake{{"spec.oldPrimaries[1].store", "a", "one thing is known"}}},
		"fact of nothing": {switchover(SwitchoverDisaster, baseline, old(OldPrimary{"", OldPrimaryPoweredOff})), []mistake{
			{"spec.oldPrimaries[0].store", "", `as in "orders-rz01"`}}},

		"move of nothing": {of(Move{}), []mistake{{"spec.moves[0].unitization", "", `as in "users"`},
			{"spec.moves[0].unit", "", `as in "rz01"`}, {"spec.moves[0].toCenters", "", "must have the centers"}}},
		"bad names": {of(Move{Unitization: "u", Unit: "r", ToUnit: "R", ToCenters: []string{"A"}, ToPrimary: "P"}), []mistake{
			{"spec.moves[0].toUnit", "R", "label"}, {"spec.moves[0].toCenters[0]", "A", "label"},
			{"spec.moves[0].toPrimary", "P", "label"}}},
		"center twice": {of(changed(move("rz01"), func(m *Move) { m.ToCenters = []string{"a", "a"} })), []mistake{
			{"spec.moves[0].toCenters[1]", "a", "once is enough"}}},
		"backwards": {of(move("rz01", ShardRange{9, 0})), []mistake{{"spec.moves[0].shards[0]", ShardRange{9, 0},
			"from must be at most to"}}},
		"out of range": {of(move("rz01", ShardRange{-1, 16384})), []mistake{{"spec.moves[0].shards[0].from", -1,
			"must be 0 to 16383"}, {"spec.moves[0].shards[0].to", 16384, "must be 0 to 16383"}}},
		"shard twice": {switchover(SwitchoverPlanned, moves(move("rz01", ShardRange{0, 9}), move("rz02", ShardRange{9, 12}))),
			[]mistake{{"spec.moves[1].shards[0]", ShardRange{9, 12}, "shard 9 moves already (spec.moves[0].shards[0])"}}},
		"shard of another unitization": {switchover(SwitchoverPlanned, moves(move("rz01", ShardRange{0, 9}),
			changed(move("mz", ShardRange{0, 9}), func(m *Move) { m.Unitization = "merchants" }))), nil},
		"all and some": {switchover(SwitchoverPlanned, moves(move("rz01", ShardRange{0, 9}), move("rz01"))), []mistake{
			{"spec.moves[1].unit", "rz01", "spec.moves[0] moves it too"}}},
		"all and some, where one is wrong": {switchover(SwitchoverPlanned, moves(move("rz01"),
			changed(move("rz01"), func(m *Move) { m.ToCenters = nil }))), []mistake{{"spec.moves[1].toCenters", "",
			"must have the centers"}}},
		"many ranges": {of(move("rz01", make([]ShardRange, 1025)...)), []mistake{{"spec.moves[0].shards", 1025,
			"must have at most 1024 items"}}},
		"many centers": {of(changed(move("rz01"), func(m *Move) { m.ToCenters = make([]string, 65) })), []mistake{
			{"spec.moves[0].toCenters", 65, "must have at most 64 items"}}},
		"many facts": {switchover(SwitchoverDisaster, baseline, old(make([]OldPrimary, 1025)...)), []mistake{
			{"spec.oldPrimaries", 1025, "must have at most 1024 items"}}},
		"too many moves": {switchover(SwitchoverPlanned, moves(make([]Move, 1025)...)), []mistake{{"spec.moves", 1025,
			"must have at most 1024 items"}}},
	} {
		t.Run(name, func(t *testing.T) { expect(t, Validate(c.object), c.want...) })
	}
}

func TestSwitchoverStays(t *testing.T) {
	deadline := &metav1.Time{Time: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	expect(t, ValidateUpdate(switchover(SwitchoverPlanned, baseline), switchover(SwitchoverPlanned, baseline)))
	expect(t, ValidateUpdate(switchover(SwitchoverPlanned, baseline), switchover(SwitchoverDisaster, evacuate("a", ""))),
		mistake{"spec.mode", "Planned", `must stay "Disaster": make another Switchover`},
		mistake{"spec.evacuate", (*Evacuation)(nil), `must stay {"region":"a"}`},
		mistake{"spec.returnToBaseline", true, "must stay false"})
	expect(t, ValidateUpdate(switchover(SwitchoverDisaster, moves(move("rz01")), func(s *SwitchoverSpec) {
		s.Deadline, s.AcceptDataLoss, s.Supersedes = deadline, true, "x"
		s.OldPrimaries = []OldPrimary{{"a", OldPrimaryPoweredOff}}
	}), switchover(SwitchoverDisaster, moves(move("rz02")))),
		mistake{"spec.moves", []Move{move("rz01")}, `must stay [{"unitization":"users","unit":"rz02","toCenters":["sh-a"]}]`},
		mistake{"spec.deadline", deadline, "must stay null"},
		mistake{"spec.oldPrimaries", []OldPrimary{{"a", OldPrimaryPoweredOff}}, "must stay null"},
		mistake{"spec.acceptDataLoss", true, "must stay false"}, mistake{"spec.supersedes", "x", `must stay ""`})
}

func TestSwitchoverReferences(t *testing.T) {
	d := unitized()
	d.unitizations["users"] = users(func(s *UnitizationSpec) {
		s.Units = append(s.Units, sharded("rz03", 1, 0, "orders-rz01", "sh-b", "-sh-a"), sharded("bare", 1, 0, "", "sh-a"))
	})
	of := func(m Move) *Switchover { return switchover(SwitchoverPlanned, moves(m)) }
	to := func(unit, primary string, centers ...string) *Switchover {
		return of(changed(move("rz01"), func(m *Move) { m.ToUnit, m.ToPrimary, m.ToCenters = unit, primary, centers }))
	}
	for name, c := range map[string]struct {
		object *Switchover
		want   []mistake
	}{
		"region": {switchover(SwitchoverPlanned, evacuate("hangzhou", "")), nil},
		"unknown region": {switchover(SwitchoverPlanned, evacuate("beijing", "")), []mistake{{"spec.evacuate.region",
			"beijing", "must be the region of a declared Center"}}},
		"unknown center": {switchover(SwitchoverPlanned, evacuate("", "bj-a")), []mistake{{"spec.evacuate.center", "bj-a",
			"must be the name of a declared Center"}}},
		"move":       {to("", "sh-a", "sh-a"), nil},
		"other unit": {to("rz03", "", "sh-b"), nil},
		"unknown unitization": {of(changed(move("rz01"), func(m *Move) { m.Unitization = "xx" })), []mistake{
			{"spec.moves[0].unitization", "xx", "must be the name of a declared Unitization"}}},
		"unknown unit": {of(move("rz09")), []mistake{
			{"spec.moves[0].unit", "rz09", `must be a unit of unitization "users"`}}},
		"unit of another": {of(move("gz")), []mistake{{"spec.moves[0].unit", "gz", `a unit of unitization "users"`}}},
		"city": {of(Move{Unitization: "shared", Unit: "cz-hangzhou", ToCenters: []string{"hz-a"}}), []mistake{
			{"spec.moves[0].unit", "cz-hangzhou", "is a City unit: it owns nothing"}}},
		"shard out of range": {of(move("rz01", ShardRange{0, 100})), []mistake{{"spec.moves[0].shards[0].to", 100,
			"must be 0 to 99"}}},
		"to an unknown unit": {to("rz09", "", "sh-a"), []mistake{{"spec.moves[0].toUnit", "rz09", "a unit of unitization"}}},
		"to another store": {to("rz02", "", "sh-a"), []mistake{{"spec.moves[0].toUnit", "rz02",
			`must have the store of unit "rz01", "orders-rz01", and has "orders-rz02"`}}},
		"to no cell": {to("", "", "sh-a", "sh-b"), []mistake{{"spec.moves[0].toCenters[1]", "sh-b",
			`must be the center of a cell of unit "rz01"`}}},
		"to no member": {to("", "hz-b", "sh-a"), []mistake{{"spec.moves[0].toPrimary", "hz-b",
			`must be the center of a member of store "orders-rz01"`}}},
		"to the primary of no store": {of(changed(move("bare"), func(m *Move) { m.ToPrimary = "sh-a" })), []mistake{
			{"spec.moves[0].toPrimary", "sh-a", `unit "bare" has no store`}}},
		"unknown old primary": {switchover(SwitchoverDisaster, baseline, func(s *SwitchoverSpec) {
			s.OldPrimaries = []OldPrimary{{"unused", OldPrimaryPoweredOff}, {"xx", OldPrimaryPoweredOff}}
		}), []mistake{{"spec.oldPrimaries[1].store", "xx", "must be the name of a declared Store"}}},
		"supersedes": {switchover(SwitchoverDisaster, baseline, func(s *SwitchoverSpec) { s.Supersedes = "s" }), nil},
		"supersedes nothing": {switchover(SwitchoverDisaster, baseline, func(s *SwitchoverSpec) { s.Supersedes = "xx" }),
			[]mistake{{"spec.supersedes", "xx", "must be the name of a declared Switchover"}}},
	} {
		t.Run(name, func(t *testing.T) { expect(t, ValidateReferences(c.object, nil, d), c.want...) })
	}
	t.Run("later only its plan counts", func(t *testing.T) {
		gone := of(move("rz09"))
		expect(t, ValidateReferences(gone, gone, d))
	})
	t.Run("arbiter", func(t *testing.T) {
		d.centers["sh-a"] = center("sh-a", "shanghai", CenterArbiter)
		expect(t, ValidateReferences(to("", "", "sh-a"), nil, d), mistake{"spec.moves[0].toCenters[0]", "sh-a",
			"role Arbiter: no unit may move into it"})
		delete(d.centers, "sh-a")
		expect(t, ValidateReferences(to("", "", "sh-a"), nil, d), mistake{"spec.moves[0].toCenters[0]", "sh-a",
			"must be the name of a declared Center"})
	})
}

func TestPhasesThatRun(t *testing.T) {
	for phase, want := range map[SwitchoverPhase]string{
		"": "", PhasePlanned: "", PhaseApproved: "runs", PhaseFrozen: "runs", PhaseFencing: "runs", PhaseCatchingUp: "runs",
		PhaseCaughtUp: "runs", PhaseCommitted: "runs", PhasePromoted: "runs", PhaseOpened: "runs", PhaseDone: "ended",
		PhaseAborted: "ended", PhaseSuperseded: "ended",
	} {
		got := map[bool]string{true: "runs"}[phase.Running()] + map[bool]string{true: "ended"}[phase.Ended()]
		if got != want {
			t.Errorf("phase %q: %q, want %q", phase, got, want)
		}
	}
}
