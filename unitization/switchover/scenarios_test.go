package switchover

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

func moveTo(unit, center, primary string) []MoveRequest {
	return []MoveRequest{{Unitization: "users", Unit: unit, ToCenters: []string{center}, ToPrimary: primary}}
}

// scenarios are what is explored. Each is small in some way, and together they have everything that may go wrong.
func scenarios() []scenario {
	planned := Request{Mode: Planned, Moves: moveTo("u", "b", "b")}
	disaster := Request{Mode: Disaster, Moves: moveTo("u", "b", "b"), AcceptDataLoss: true}
	return []scenario{
		{name: "planned, without faults", active: "a", primary: "a", members: 3, synchronous: true,
			requests: []Request{planned}, ticks: 1, relays: true, chains: 1, liveness: true},
		{name: "disaster, without faults", active: "a", primary: "a", members: 3, synchronous: true, holdsPermit: true,
			requests: []Request{disaster}, ticks: 1, chains: 1, liveness: true},
		{name: "a cell leaves, without faults", active: "ab", deadlines: true, primary: "b", members: 2,
			requests: []Request{planned}, ticks: 2, relays: true, chains: 1, liveness: true},
		{name: "planned, the chain of permits", active: "a", primary: "a", members: 2,
			requests: []Request{planned}, ticks: 2, relays: true, chains: 1, restarts: 1, leaders: 1, aborts: 1},
		{name: "disaster, the chain of permits", active: "a", primary: "a", members: 2, holdsPermit: true, lossy: true,
			requests: []Request{disaster}, ticks: 2, relays: true, chains: 1, restarts: 1, leaders: 1, cuts: 1},
		{name: "late answers", active: "a", primary: "a", members: 2, holdsPermit: true, lossy: true,
			requests: []Request{disaster}, ticks: 2, relays: true, chains: 1, cuts: 1, lateAnswers: true},
		{name: "a cell leaves", active: "ab", deadlines: true, primary: "b", members: 2,
			requests: []Request{planned}, ticks: 2, relays: true, chains: 1, restarts: 1, leaders: 1, aborts: 1},
		{name: "planned, the store's orders", active: "a", primary: "a", members: 3, synchronous: true,
			requests: []Request{planned}, ticks: 1, chains: 1, hangs: 1, forgets: 1, aborts: 1, cuts: 1},
		{name: "disaster, the store's orders", active: "a", primary: "a", members: 3, synchronous: true, holdsPermit: true,
			requests: []Request{disaster}, ticks: 1, chains: 1, hangs: 1, leaders: 1, aborts: 1, cuts: 1},
		{name: "two switchovers of one store", active: "a", primary: "a", members: 2, twoUnits: true,
			requests: []Request{planned, {Mode: Planned, Moves: moveTo("v", "b", "b")}}, ticks: 1, chains: 1,
			hangs: 1, aborts: 1},
		{name: "aborted, and made again", active: "a", primary: "a", members: 2, waits: map[int]Phase{1: PhaseAborted},
			requests: []Request{planned, planned}, ticks: 1, chains: 1, hangs: 1, aborts: 1},
		{name: "superseded", active: "a", primary: "a", members: 3, synchronous: true, holdsPermit: true,
			waits:    map[int]Phase{1: PhaseCommitted},
			requests: []Request{disaster, {Mode: Disaster, Moves: moveTo("u", "c", "c"), Supersedes: "x"}}, ticks: 1,
			chains: 2, cuts: 1, cutCenter: 1},
	}
}

func full() bool { return os.Getenv("PENTAD_EXPLORE") == "full" }

func TestEveryScenarioKeepsItsInvariants(t *testing.T) {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 2, 0, 2, ' ', 0)
	fmt.Fprintln(table, "scenario\tstates\tsteps\tof the machine\ttook\t")
	for _, c := range scenarios() {
		limit := 0
		fmt.Sscan(os.Getenv("LIMIT"), &limit)
		r := explore(c, limit)
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%s\t%t\n", c.name, r.states, r.steps, r.machine, r.took.Round(10*time.Millisecond), r.complete)
		if r.violated != "" {
			t.Errorf("%s: %s\n  %s", c.name, r.violated, strings.Join(r.trace, "\n  "))
		}
		if r.stuck != "" {
			t.Errorf("%s: no end can be reached after\n  %s", c.name, r.stuck)
		}
	}
	table.Flush()
	t.Logf("explored\n%s", text.String())
}
