package switchover

import (
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"
)

// plant is a rule that is broken on purpose, and the scenario that must find it.
type plant struct {
	rule     string // of ownership
	what     string
	in       scenario
	machine  breakage
	world    worldBreakage
	violates string // part of what the explorer must say
}

// TestPlantedBugsAreFound breaks one rule after the other: an explorer that does not notice shows nothing. The length
// is that of a shortest counterexample.
func TestPlantedBugsAreFound(t *testing.T) {
	if underRace {
		t.Skip("the explorer is one goroutine")
	}
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 2, 0, 2, ' ', 0)
	fmt.Fprintln(table, "rule\tbroken\tfound in\tsteps\tstates\twhat is seen")
	for _, p := range plants() {
		t.Run(p.rule+" "+p.what, func(t *testing.T) {
			c := p.in
			c.brokenMachine, c.broken, c.liveness = p.machine, p.world, false
			r := explore(c, 0)
			if r.violated == "" {
				t.Fatalf("not found in %d states", r.states)
			}
			if !strings.Contains(r.violated, p.violates) {
				t.Errorf("found %q, want %q", r.violated, p.violates)
			}
			t.Logf("%s:\n  %s", r.violated, strings.Join(r.trace, "\n  "))
			fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%s\n", p.rule, p.what, c.name, len(r.trace), r.states, r.violated)
		})
	}
	table.Flush()
	t.Logf("planted bugs and what found them\n%s", text.String())
}

const (
	twoPrimaries = "two primaries accept writes"
	wrongCell    = "through a cell that is not active"
	oldPrimary   = "an old primary accepts"
	lost         = "an acknowledged write is missing"
)

func plants() []plant {
	e := scenarioNamed
	planned, disaster := e("planned, permits alone"), e("disaster, permits alone")
	store, taken, again := e("planned, the store's orders"), e("disaster, the store's orders"),
		e("aborted, and made again")
	return append([]plant{
		{"1", "a guard goes on when its permit has ended", disaster, 0, brokenGuardWithoutEnd, wrongCell},
		{"1", "a relay grants a whole T of its own permit's rest", disaster, 0, brokenRelayGrantsFullT, wrongCell},
		{"2", "a permit is counted from the answer", disaster, 0, brokenCountFromAnswer, wrongCell},
		{"3", "a server answers without a linearizable read", disaster, 0, brokenStaleRead, wrongCell},
		{"3", "permits before the session is in the log", planned, 0, brokenRegisterLater, wrongCell},
		{"3", "a session is removed as soon as it is closed", planned, 0, brokenRemoveAtOnce, wrongCell},
		{"3", "closed sessions are not waited for", planned, brokenClosedNotConcerned, 0, wrongCell},
		{"4", "one relay of those concerned is enough", e("two cells leave"), brokenOneIsEnough, 0, wrongCell},
		{"5", "the leader waits less than T", disaster, 0, brokenWaitTooShort, wrongCell},
		{"5", "a new leader counts from the log's time", disaster, 0, brokenWaitFromLog, wrongCell},
		{"6", "a relay acknowledges by its own position", planned, 0, brokenAckByPosition, wrongCell},
		{"6", "a guard says closed with writes in flight", planned, 0, brokenAckWithoutDrain, wrongCell},
		{"6", "a restarted relay keeps its session, and acknowledges", planned, 0, brokenSessionKept, wrongCell},
		{"6", "a guard goes back by a late answer", e("late answers"), 0, brokenGuardGoesBack, wrongCell},
		{"6", "an acknowledgement counts for any freeze", e("aborted, and made again, permits alone"),
			brokenAckOfAnyFreeze, 0,
			wrongCell},
		{"12", "no freeze", disaster, brokenNoFreeze, 0, wrongCell},
		{"12", "the freeze ends in one document, the owner is in another", planned, brokenTwoDocuments, 0, wrongCell},
		{"12", "the store is caught up before the fence", e("disaster, a store without permits"),
			brokenCatchUpBeforeFence, 0, lost},
		{"12", "the new primary is not caught up", store, brokenCatchUpSkipped, 0, lost},
		{"12", "the new primary opens before the commit", store, brokenPromoteBeforeCommit, 0, twoPrimaries},
		{"13", "a committed switchover is rolled back", store, brokenAbortAfterCommit, 0, wrongCell},
		{"14", "a deposed controller calls the driver itself", store, 0, brokenControllerCalls, twoPrimaries},
		{"14", "a report counts for any order", again, brokenReportOfAnyStep, 0, twoPrimaries},
		{"15", "a member obeys lower tokens", again, 0, brokenTokensIgnored, oldPrimary},
		{"15", "a member does not keep the token", again, 0, brokenTokenForgotten, twoPrimaries},
		{"15", "a member takes writes admitted before its token", taken, 0, brokenSinceIgnored, wrongCell},
		{"16", "two switchovers move one store", e("two switchovers of one store"), brokenNoLocks, 0, wrongCell},
		{"17", "the fence is skipped", taken, brokenFenceSkipped, 0, twoPrimaries},
		{"17", "a majority alone is a fence", taken, brokenFenceWithoutPrimary, 0, twoPrimaries},
		{"17", "the old primary alone is a fence", taken, brokenFenceWithoutMajority, 0, lost},
		{"17", "the store's permit is renewed while its end is awaited", taken, brokenStorePermitKept, 0, twoPrimaries},
		{"17", "a store goes on when its permit has ended", taken, 0, brokenStoreWithoutPermit, twoPrimaries},
		{"17", "the end of permits is drained, in a planned one", e("drained, whatever the deadlines"),
			brokenWaitInPlanned, 0,
			wrongCell},
		{"18", "a write outlives its permit where no fence is", disaster, 0, brokenDeadlines, wrongCell},
	}, restoredPlants()...)
}
