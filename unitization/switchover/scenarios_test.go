package switchover

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// scenarios are what is explored. Each is small in some way, and together they have everything that may go wrong. In
// those without a store nothing but permits keeps the old cell from writing; in those with one, guards hold sessions
// themselves.
func scenarios() []scenario {
	alone := scenario{active: "a", ticks: 2, relays: true, chains: 1, writes: 2, deadlines: true}
	stored := scenario{active: "a", primary: "a", members: 3, synchronous: true, ticks: 1, chains: 1, writes: 2}
	pair := scenario{active: "a", primary: "a", members: 2, ticks: 1, chains: 1, writes: 2}
	to := func(mode Mode, unit, center, primary string) Request {
		return Request{Mode: mode, AcceptDataLoss: true,
			Moves: []MoveRequest{{Unitization: "users", Unit: unit, ToCenters: []string{center}, ToPrimary: primary}}}
	}
	planned, disaster := to(Planned, "u", "b", ""), to(Disaster, "u", "b", "")
	moved, taken := to(Planned, "u", "b", "b"), to(Disaster, "u", "b", "b")
	return append([]scenario{
		with(alone, "planned, permits alone, without faults", func(c *scenario) { c.liveness = true }, planned),
		with(pair, "planned, with a store, without faults", func(c *scenario) { c.liveness, c.relays = true, true },
			moved),
		with(stored, "planned, synchronous, without faults", func(c *scenario) { c.liveness = true }, moved),
		with(stored, "disaster, without faults", func(c *scenario) { c.liveness, c.holdsPermit = true, true }, taken),
		with(alone, "planned, permits alone", func(c *scenario) {
			c.writes, c.restarts, c.leaders, c.aborts = 1, 1,
				1, 1
		}, planned),
		with(alone, "disaster, permits alone", func(c *scenario) {
			c.writes, c.restarts, c.leaders, c.cuts = 1, 1,
				1, 1
		}, disaster),
		with(alone, "late answers", func(c *scenario) { c.lateAnswers = true }, planned),
		with(alone, "drained, whatever the deadlines", func(c *scenario) {
			c.relays, c.deadlines, c.aborts, c.ticks = false, false, 1, 1
		}, planned),
		with(alone, "aborted, and made again, permits alone", func(c *scenario) {
			c.relays, c.aborts, c.ticks, c.waits = false, 1, 1, map[int]Phase{1: PhaseAborted}
		}, planned, planned),
		with(alone, "two cells leave", func(c *scenario) {
			c.active, c.relays, c.chains, c.ticks = "ab", false, 2, 1
		}, to(Planned, "u", "c", "")),
		with(pair, "one of two cells leaves", func(c *scenario) {
			c.active, c.primary, c.relays, c.deadlines, c.restarts, c.aborts = "ab", "b", true, true, 1, 1
		}, planned),
		with(pair, "planned, the chain with a store", func(c *scenario) {
			c.relays, c.restarts, c.writes = true, 1,
				1
		}, moved),
		with(stored, "planned, the store's orders", func(c *scenario) {
			c.hangs, c.aborts, c.cuts, c.writes = 1, 1,
				1, 1
		}, moved),
		with(stored, "disaster, the store's orders", func(c *scenario) {
			c.holdsPermit, c.hangs, c.cuts, c.leaders, c.writes = true, 1, 1, 1, 1
		}, taken),
		with(stored, "disaster, the old side cut off for good", func(c *scenario) {
			c.holdsPermit, c.cuts, c.forGood, c.liveness, c.writes = true, 1, true, true, 1
			c.aborts, c.abortsWhenCut, c.waits = 1, true, map[int]Phase{1: PhaseAborted}
		}, taken, taken),
		with(stored, "disaster, a store without permits", func(c *scenario) { c.cuts, c.hangs, c.writes = 1, 1, 1 },
			taken),
		with(pair, "disaster, an asynchronous store", func(c *scenario) {
			c.holdsPermit, c.lossy, c.hangs, c.cuts, c.leaders, c.aborts = true, true, 1, 1, 1, 1
		}, taken),
		with(stored, "two writes, a cut", func(c *scenario) { c.holdsPermit, c.cuts = true, 1 }, taken),
		with(pair, "two switchovers of one store", func(c *scenario) { c.twoUnits, c.hangs, c.aborts = true, 1, 1 },
			moved, to(Planned, "v", "b", "b")),
		with(pair, "aborted, and made again", func(c *scenario) {
			c.hangs, c.aborts, c.forgets, c.waits = 1, 1, 1, map[int]Phase{1: PhaseAborted}
		}, moved, moved),
		with(stored, "superseded", func(c *scenario) {
			c.holdsPermit, c.cuts, c.cutCenter, c.writes, c.waits = true, 1, 1, 1, map[int]Phase{1: PhaseCommitted}
		}, moved, superseding("x", to(Disaster, "u", "c", "c"))),
	}, restoredScenarios()...)
}

func with(c scenario, name string, edit func(*scenario), requests ...Request) scenario {
	c.name, c.requests = name, requests
	edit(&c)
	return c
}

func superseding(name string, r Request) Request {
	r.Supersedes = name
	return r
}

func scenarioNamed(name string) scenario {
	for _, c := range scenarios() {
		if c.name == name {
			return c
		}
	}
	panic("no scenario " + name)
}

// full says whether to go deeper: tens of millions of worlds, and many minutes.
func full() bool { return os.Getenv("PENTAD_EXPLORE") == "full" }

// deeper are the scenarios with more of everything at once.
func deeper() []scenario {
	var more []scenario
	for _, c := range scenarios() {
		if c.liveness || c.restarts+c.hangs+c.cuts+c.aborts == 0 {
			continue
		}
		c.name, c.writes, c.leaders, c.aborts = c.name+", deeper", 2, 1, 1
		if c.restarts > 0 {
			c.lateAnswers = true
		}
		more = append(more, c)
	}
	return more
}

func TestEveryScenarioKeepsItsInvariants(t *testing.T) {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 2, 0, 2, ' ', 0)
	fmt.Fprintln(table, "scenario\tworlds\tsteps\tstates of the machine\ttook")
	list, limit := scenarios(), 0
	if full() {
		list, limit = append(list, deeper()...), 6_000_000
	}
	if underRace {
		limit = 20_000
	}
	total, steps := 0, 0
	for _, c := range list {
		r := explore(c, limit)
		total, steps = total+r.states, steps+r.steps
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%s\n", c.name, r.states, r.steps, r.machine,
			r.took.Round(10*time.Millisecond))
		if r.violated != "" {
			t.Errorf("%s: %s\n  %s", c.name, r.violated, strings.Join(r.trace, "\n  "))
		}
		if r.stuck != "" {
			t.Errorf("%s: no end can be reached after\n  %s", c.name, r.stuck)
		}
		if !r.complete && r.violated == "" {
			fmt.Fprintf(table, "  (not all of it: stopped at %d)\t\t\t\t\n", limit)
		}
	}
	fmt.Fprintf(table, "all\t%d\t%d\t\t\n", total, steps)
	table.Flush()
	t.Logf("explored\n%s", text.String())
}
