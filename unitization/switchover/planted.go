//go:build planted

package switchover

import "fmt"

// always are the rules that are broken in every state. Only Plant sets it.
var always breakage

// Plant breaks a rule on purpose, in every state of the process, until undo is called. It is in no program that ships:
// simulations that show that they find it are built with the tag.
func Plant(rule string) (undo func()) {
	planted, ok := map[string]breakage{
		"brokenNoFreeze":             brokenNoFreeze,
		"brokenTwoDocuments":         brokenTwoDocuments,
		"brokenFenceSkipped":         brokenFenceSkipped,
		"brokenCatchUpBeforeFence":   brokenCatchUpBeforeFence,
		"brokenCatchUpSkipped":       brokenCatchUpSkipped,
		"brokenPromoteBeforeCommit":  brokenPromoteBeforeCommit,
		"brokenAbortAfterCommit":     brokenAbortAfterCommit,
		"brokenReportOfAnyStep":      brokenReportOfAnyStep,
		"brokenNoLocks":              brokenNoLocks,
		"brokenFenceWithoutPrimary":  brokenFenceWithoutPrimary,
		"brokenFenceWithoutMajority": brokenFenceWithoutMajority,
		"brokenStorePermitKept":      brokenStorePermitKept,
		"brokenWaitInPlanned":        brokenWaitInPlanned,
		"brokenAckOfAnyFreeze":       brokenAckOfAnyFreeze,
		"brokenClosedNotConcerned":   brokenClosedNotConcerned,
		"brokenOneIsEnough":          brokenOneIsEnough,
	}[rule]
	if !ok {
		panic(fmt.Sprintf("switchover: no rule %q", rule))
	}
	always = planted
	return func() { always = 0 }
}
