package oracle_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pentad.dev/pentad/dev/drill/oracle"
)

// units is a clean history: shards 0 and 1 of users move from cell u.a (store member a) to u.b (member b) at 10 s, and
// their cell a dies at 20 s after which they move on to u.c by a disaster.
func units() *oracle.UnitHistory {
	u := &oracle.UnitHistory{
		Maps: []oracle.OwnershipMap{
			version(1, 0, "u.a", false), version(2, 10, "u.a", true), version(3, 10.05, "u.b", true), version(4, 10.1, "u.b", false),
			version(5, 20.5, "u.b", true), version(6, 25.7, "u.c", true), version(7, 25.8, "u.c", false),
		},
		Primaries: map[string]string{"s": "c"},
		Switchovers: []oracle.Switchover{
			{Name: "planned", Approved: at(9.9), Opened: at(10.1), Done: at(10.3), Freeze: 2, Open: 4, Moved: moved("a", "b")},
			{Name: "disaster", Disaster: true, Approved: at(20.4), Opened: at(25.8), Done: at(26), Freeze: 5, Open: 7,
				Moved: moved("b", "c")},
		},
		Doors: []oracle.Door{
			guardDoor(10.01, "u.a", 2, false), guardDoor(10.12, "u.b", 4, true), storeDoor(10.11, "b", 4, true),
			guardDoor(20.6, "u.b", 5, false), guardDoor(25.82, "u.c", 7, true), storeDoor(25.83, "c", 7, true),
		},
	}
	var log []oracle.Stored
	write := func(seconds float64, member string, since uint64, shard int) {
		id := "w" + strings.ReplaceAll(time.Duration(seconds*1e9).String(), ".", "-")
		u.Admitted = append(u.Admitted, oracle.Admission{
			At: at(seconds), Guard: "g-" + member, Cell: "u." + member, Unitization: "users", Shard: shard, Since: since, ID: id,
		})
		e := oracle.Stored{
			At: at(seconds + 0.001), Store: "s", By: member, Token: since, Index: uint64(len(log) + 1), Unitization: "users",
			Shard: shard, ID: id,
		}
		log = append(log, e)
		u.Orders = append(u.Orders, oracle.Order{
			Client: "x", ID: id, Unitization: "users", Shard: shard, Start: at(seconds - 0.001), End: at(seconds + 0.002),
			Acknowledged: true,
		})
	}
	for i := range 40 {
		write(9+float64(i)*0.025, "a", 1, i%2)
	}
	for i := range 40 {
		write(10.2+float64(i)*0.25, "b", 4, i%2)
	}
	for i := range 40 {
		write(25.9+float64(i)*0.025, "c", 7, i%2)
	}
	u.Stored = log
	for _, member := range []string{"a", "b", "c"} {
		u.Logs = append(u.Logs, oracle.StoreLog{Store: "s", Member: member, Entries: slices.Clone(log)})
	}
	return u
}

func version(epoch uint64, seconds float64, cell string, frozen bool) oracle.OwnershipMap {
	return oracle.OwnershipMap{At: at(seconds), Unitization: "users", Epoch: epoch, Ranges: []oracle.OwnedRange{
		{From: 0, To: 1, Cells: []string{cell}, Frozen: frozen, Since: epoch},
	}}
}

func moved(from, to string) []oracle.MovedRange {
	return []oracle.MovedRange{{
		Unitization: "users", From: 0, To: 1, Cells: []string{"u." + from}, ToCells: []string{"u." + to}, Store: "s", Target: to,
	}}
}

func guardDoor(seconds float64, cell string, since uint64, open bool) oracle.Door {
	return oracle.Door{At: at(seconds), Guard: "g", Cell: cell, Unitization: "users", From: 0, To: 1, Since: since, Open: open}
}

func storeDoor(seconds float64, member string, token uint64, open bool) oracle.Door {
	return oracle.Door{At: at(seconds), Store: "s", Member: member, Since: token, Open: open}
}

func judgeUnits(u *oracle.UnitHistory) oracle.Verdict {
	h := clean()
	h.Units = u
	return oracle.Judge(h, oracle.DefaultBounds())
}

func TestCleanUnits(t *testing.T) {
	v := judgeUnits(units())
	for _, f := range v.Findings {
		if !f.Pass {
			t.Errorf("%s: %s %v", f.Rule, f.Measured, f.Examples)
		}
	}
	if len(v.Outages) != 4 {
		t.Fatalf("%d outages, want one for each shard of each switchover", len(v.Outages))
	}
	if got := v.Outages[0].Closed; got != 110*time.Millisecond {
		t.Errorf("closed for %s, want 110ms", got)
	}
	if got := v.Outages[2].Recovery; got < 5500*time.Millisecond || got > 5600*time.Millisecond {
		t.Errorf("recovered after %s, want 5.5s", got)
	}
}

// Each plant breaks one promise about units.
var unitPlants = []struct {
	name, rule string
	plant      func(u *oracle.UnitHistory)
	says       string
}{
	{"an acknowledged write is not stored", oracle.RuleWritten, func(u *oracle.UnitHistory) {
		u.Logs[2].Entries = u.Logs[2].Entries[1:]
	}, "not at its owner"},
	{"a write is stored twice", oracle.RuleWritten, func(u *oracle.UnitHistory) {
		u.Logs[2].Entries = append(u.Logs[2].Entries, u.Logs[2].Entries[0])
	}, "2 times"},
	{"a write is in two stores", oracle.RuleWritten, func(u *oracle.UnitHistory) {
		u.Primaries["t"] = "a"
		u.Logs = append(u.Logs, oracle.StoreLog{Store: "t", Member: "a", Entries: u.Logs[2].Entries[:1]})
	}, "in store"},
	{"a write under another shard", oracle.RuleWritten, func(u *oracle.UnitHistory) {
		u.Logs[2].Entries[0].Shard = 1
	}, "stored under shard 1"},
	{"the owner's log is not there", oracle.RuleWritten, func(u *oracle.UnitHistory) { u.Logs = u.Logs[:2] }, "nothing is known"},
	{"nobody knows the owners", oracle.RuleWritten, func(u *oracle.UnitHistory) { u.Primaries = nil }, "who owns what"},
	{"two members under one token", oracle.RuleOneWriter, func(u *oracle.UnitHistory) { u.Stored[60].By = "a" }, "both accepted"},
	{"the old primary goes on", oracle.RuleOneWriter, func(u *oracle.UnitHistory) {
		e := u.Stored[39]
		e.At, e.ID = at(10.5), "late"
		u.Stored = append(u.Stored, e)
	}, "after b had accepted"},
	{"the old store goes on when the shard has moved to another", oracle.RuleOneWriter, func(u *oracle.UnitHistory) {
		for i := range u.Stored {
			if u.Stored[i].By == "a" {
				u.Stored[i].Store = "t"
			}
		}
		e := u.Stored[39]
		e.At, e.ID = at(10.6), "late"
		u.Stored = append(u.Stored, e)
	}, "had taken over"},
	{"a guard of a cell that does not own", oracle.RuleGuards, func(u *oracle.UnitHistory) { u.Admitted[0].Cell = "u.b" }, "no map gave"},
	{"a guard under a frozen epoch", oracle.RuleGuards, func(u *oracle.UnitHistory) { u.Admitted[39].Since = 2 }, "no map gave"},
	{"a guard after its permit", oracle.RuleGuards, func(u *oracle.UnitHistory) {
		a := u.Admitted[39]
		a.At, a.ID = at(10.6), "late"
		u.Admitted = append(u.Admitted, a)
	}, "under a later epoch"},
	{"a planned switchover that takes long", oracle.RulePlanned, func(u *oracle.UnitHistory) { u.Doors[1].At = at(11.5) }, "1.49 s"},
	{"a planned switchover of which nobody tells", oracle.RulePlanned, func(u *oracle.UnitHistory) { u.Doors = u.Doors[1:] }, "nobody told"},
	{"a disaster that takes long", oracle.RuleDisaster, func(u *oracle.UnitHistory) {
		for i := range u.Stored {
			if u.Stored[i].By == "c" {
				u.Stored[i].At += at(4) - at(0)
			}
		}
	}, "in disaster"},
	{"a disaster that never ends", oracle.RuleDisaster, func(u *oracle.UnitHistory) {
		u.Stored = slices.DeleteFunc(u.Stored, func(e oracle.Stored) bool { return e.By == "c" || e.At > at(20) })
	}, "took no writes"},
	{"no switchovers", oracle.RuleSeen, func(u *oracle.UnitHistory) { u.Switchovers = nil }, "no switchovers"},
	{"no admissions", oracle.RuleSeen, func(u *oracle.UnitHistory) { u.Admitted = nil }, "no writes admitted"},
	{"no maps", oracle.RuleSeen, func(u *oracle.UnitHistory) { u.Maps, u.Admitted = nil, nil }, "no ownership maps"},
}

func TestPlantedViolationsOfUnitsAreFound(t *testing.T) {
	for _, c := range unitPlants {
		t.Run(c.name, func(t *testing.T) {
			u := units()
			c.plant(u)
			for _, f := range judgeUnits(u).Findings {
				if f.Rule != c.rule {
					continue
				}
				if f.Pass || !strings.Contains(strings.Join(f.Examples, "\n"), c.says) {
					t.Errorf("%s: pass %v, %q, want %q", f.Rule, f.Pass, f.Examples, c.says)
				}
			}
		})
	}
}
