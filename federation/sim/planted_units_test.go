//go:build planted

package sim

import (
	"math/rand/v2"
	"time"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/dev/sample/ledger"
	"pentad.dev/pentad/federation/controller"
	"pentad.dev/pentad/federation/server"
	"pentad.dev/pentad/unitization/guard"
	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/stream"
	"pentad.dev/pentad/unitization/switchover"
)

// during breaks a rule for as long as a run takes.
func during(plant func(string) func(), rule string) func() func() {
	return func() func() {
		if rulesKept() {
			return func() {}
		}
		return plant(rule)
	}
}

func init() {
	const either = v1alpha1.SwitchoverMode("")
	add := func(rule, name string, mode v1alpha1.SwitchoverMode, p plant) {
		p.rule, p.name, p.units, p.haste, p.writes = rule, name, true, mode, 250*time.Millisecond
		if p.faults == nil {
			p.faults = relaysAway
		}
		plants = append(plants, p)
	}
	under := func(faults func(*rand.Rand, time.Duration) []fault, p plant) plant {
		p.faults = faults
		return p
	}
	aborting := func(p plant) plant {
		p.aborts = true
		return p
	}
	ofGuard := func(rule string) plant {
		return plant{guard: func(c *guard.Config) { unlessKept(c.Plant, rule) }}
	}
	ofHop := func(rule string) plant {
		return plant{hop: func(c *permit.HopConfig) { unlessKept(c.Plant, rule) }}
	}
	ofRoot := func(rule string) plant {
		return plant{adjust: func(a *server.Adjust) { a.Permits = func(c *stream.RootConfig) { unlessKept(c.Plant, rule) } }}
	}
	ofMachine := func(rule string) plant { return plant{during: during(switchover.Plant, rule)} }
	ofLeader := func(rule string) plant { return plant{during: during(controller.Plant, rule)} }
	ofStore := func(rule string) plant { return plant{store: func(c *ledger.Config) { unlessKept(c.Plant, rule) }} }

	add("ownership 1", "a guard goes on after its permit's end", disaster, ofGuard("brokenForever"))
	add("ownership 1", "a hop grants its permit's whole length", disaster, ofHop("brokenGrantsAll"))
	add("ownership 2", "a relay counts from the answer", disaster, under(answersLate, ofHop("brokenCountFromAnswer")))
	add("ownership 2", "a guard counts from the answer", disaster, ofGuard("brokenCountsFromAnswer"))
	add("ownership 3", "a server answers from what it has", disaster, under(centersAway, ofRoot("brokenStaleState")))
	add("ownership 3", "an ask shares a read that had begun", disaster, under(centersAway, ofRoot("brokenJoinsPresent")))
	add("ownership 3", "permits for a closed session", planned, ofRoot("brokenClosedSession"))
	add("ownership 3", "permits before the session is in the log", planned, ofRoot("brokenUnregistered"))
	add("ownership 3", "a session is removed as soon as it is closed", planned, under(leadersPass, ofLeader("removesAtOnce")))
	add("ownership 3", "closed sessions are not waited for", planned, under(leadersPass, ofMachine("brokenClosedNotConcerned")))
	add("ownership 4", "one relay of those concerned is enough", planned, ofMachine("brokenOneIsEnough"))
	add("ownership 5", "the leader waits less than T", disaster, under(leadersPass, ofLeader("waitsLess")))
	add("ownership 5", "a new leader takes what is frozen for waited out", disaster, under(leadersPass, ofLeader("trustsPredecessor")))
	add("ownership 6", "a relay acknowledges a freeze by position", planned, under(guardsAway, ofHop("brokenAcksByPosition")))
	add("ownership 6", "a restarted relay acknowledges at once", planned, under(guardsAway, ofHop("brokenAcksAfterStart")))
	add("ownership 6", "guards that moved away are forgotten", planned, under(guardsAway, ofHop("brokenForgetsMoved")))
	add("ownership 6", "a hop waits by its wall clock", planned, ofHop("brokenWaitsByWall"))
	add("ownership 6", "a guard names a freeze closed with writes in flight", planned, ofGuard("brokenClosedWithFlights"))
	add("ownership 6", "an acknowledgement counts for any freeze", planned, aborting(under(guardsAway, ofMachine("brokenAckOfAnyFreeze"))))
	add("ownership 8", "any active cell is taken for the own", either, under(guardsAway, ofGuard("brokenAnyCell")))
	add("ownership 12", "no freeze", planned, ofMachine("brokenNoFreeze"))
	add("ownership 12", "the freeze ends in one document, the owner is in another", planned, under(guardsAway, ofMachine("brokenTwoDocuments")))
	add("ownership 12", "the store is caught up before the fence", disaster, ofMachine("brokenCatchUpBeforeFence"))
	add("ownership 12", "the new primary is not caught up", either, ofMachine("brokenCatchUpSkipped"))
	add("ownership 12", "the new primary opens before the commit", either, ofMachine("brokenPromoteBeforeCommit"))
	add("ownership 13", "a committed switchover is rolled back", either, aborting(ofMachine("brokenAbortAfterCommit")))
	add("ownership 14", "a report counts for any order", either, ofMachine("brokenReportOfAnyStep"))
	add("ownership 15", "a member obeys lower tokens", either, ofStore("brokenOrder"))
	add("ownership 15", "a member does not keep the token", either, ofStore("brokenKeep"))
	add("ownership 15", "a replica does not compare tokens", disaster, ofStore("brokenCompare"))
	add("ownership 17", "a member takes writes admitted before its token", disaster, ofStore("brokenOldSince"))
	add("ownership 17", "the fence is skipped", disaster, ofMachine("brokenFenceSkipped"))
	add("ownership 17", "a majority alone is a fence", disaster, ofMachine("brokenFenceWithoutPrimary"))
	add("ownership 17", "the old primary alone is a fence", disaster, ofMachine("brokenFenceWithoutMajority"))
	add("ownership 17", "the store's permit is renewed while its end is awaited", disaster, ofMachine("brokenStorePermitKept"))
	add("ownership 17", "a store goes on when its permit has ended", disaster, under(centersAway, ofStore("brokenPermit")))
	add("ownership 17", "the end of permits is drained, in a planned one", planned, ofMachine("brokenWaitInPlanned"))
	add("the store", "a primary begins with less than others hold", either, ofStore("brokenClaim"))
	add("the store", "entries are sent before the primary's own fsync", either, ofStore("brokenFirst"))
	add("the store", "a repeated write is written again", either, ofStore("brokenDedup"))
}
