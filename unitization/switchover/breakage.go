package switchover

// breakage is a set of rules that a test breaks on purpose, to see that it is found. Production code never sets one; the
// zero value keeps every rule. Rules of the holder, the relay and the leader are broken in the tests' model of them.
type breakage uint64

const (
	// brokenFenceSkipped goes from the drain to catching up without closing the store (rules 12 and 17).
	brokenFenceSkipped breakage = 1 << iota
	// brokenFencePrimaryOnly takes the old primary's permit or a majority alone for a fence: no evidence of the primary.
	brokenFenceWithoutPrimary
	// brokenFenceWithoutMajority asks no majority of a synchronous store.
	brokenFenceWithoutMajority
	// brokenCatchUpBeforeFence reads the position before the fence (rule 12).
	brokenCatchUpBeforeFence
	// brokenCatchUpSkipped commits what the new primary may lack (rule 12).
	brokenCatchUpSkipped
	// brokenPromoteBeforeCommit orders the promotion with the catching up (rules 12 and 13).
	brokenPromoteBeforeCommit
	// brokenOpenAtFreeze leaves the ranges open at the old owner while the store moves (rule 12).
	brokenNoFreeze
	// brokenOpenAtCommit opens the ranges and the store with the commit (rule 12).
	brokenOpenAtCommit
	// brokenAbortAfterCommit lets a committed switchover be rolled back (rule 13).
	brokenAbortAfterCommit
	// brokenAbortKeepsEpoch unfences under the old token (rule 13).
	brokenAbortKeepsEpoch
	// brokenNoLocks lets two switchovers move one store (rule 16).
	brokenNoLocks
	// brokenWaitInPlanned lets the end of permits stand for draining also where no fence stops what is in flight (rule 17).
	brokenWaitInPlanned
	// brokenAckBySession takes an acknowledgement for any freeze (rule 6).
	brokenAckOfAnyFreeze
	// brokenStoreAcceptsWhileFrozen leaves the old primary its permit in a disaster, so that nothing waits for its end (rule 17).
	brokenStorePermitKept
	// brokenReportOfAnyStep takes a report for the order in force, whatever order it is of (rule 14).
	brokenReportOfAnyStep
)

func (b breakage) has(rule breakage) bool { return b&rule != 0 }
