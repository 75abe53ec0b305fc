package switchover

// breakage is a set of rules that a test breaks on purpose, to see that it is found. Production code never sets one;
// the zero value keeps every rule. Rules of the holder, the relay and the leader are broken in the tests' model of
// them.
type breakage uint64

const (
	// brokenNoFreeze leaves the ranges open at the old owner until the commit (rule 12).
	brokenNoFreeze breakage = 1 << iota
	// brokenTwoDocuments ends the freeze with one change, and gives the ranges to the new owner with the next (rule
	// 12).
	brokenTwoDocuments
	// brokenFenceSkipped goes from the drain to catching up without closing the store (rules 12 and 17).
	brokenFenceSkipped
	// brokenCatchUpBeforeFence reads the position before the fence (rule 12).
	brokenCatchUpBeforeFence
	// brokenCatchUpSkipped commits what the new primary may lack (rule 12).
	brokenCatchUpSkipped
	// brokenPromoteBeforeCommit opens the new primary when it has caught up (rules 12 and 13).
	brokenPromoteBeforeCommit
	// brokenAbortAfterCommit lets a committed switchover be rolled back (rule 13).
	brokenAbortAfterCommit
	// brokenReportOfAnyStep takes a report for the order in force, whatever order it is of (rule 14).
	brokenReportOfAnyStep
	// brokenNoLocks lets two switchovers move one store (rule 16).
	brokenNoLocks
	// brokenFenceWithoutPrimary asks no evidence of the old primary (rule 17).
	brokenFenceWithoutPrimary
	// brokenFenceWithoutMajority asks no majority of a synchronous store (rule 17).
	brokenFenceWithoutMajority
	// brokenStorePermitKept renews the old primary's permit while a disaster waits for its end (rule 17).
	brokenStorePermitKept
	// brokenWaitInPlanned lets the end of permits stand for draining in a planned switchover (rule 17).
	brokenWaitInPlanned
	// brokenAckOfAnyFreeze takes an acknowledgement for any freeze (rule 6).
	brokenAckOfAnyFreeze
	// brokenClosedNotConcerned does not wait for sessions that are closed, and whose permits have not ended (rule 3).
	brokenClosedNotConcerned
	// brokenOneIsEnough waits for the first acknowledgement only (rule 4).
	brokenOneIsEnough
	// brokenSessionsKept keeps the sessions of an older state.
	brokenSessionsKept
	// brokenRestoredOpen opens what is restored as it was.
	brokenRestoredOpen
	// brokenFoundUnfenced finds a primary without having closed anything.
	brokenFoundUnfenced
	// brokenFoundByMajority finds the primary of any store by a majority.
	brokenFoundByMajority
	// brokenBackupBelieved takes the older state's primary for the last one.
	brokenBackupBelieved
	// brokenTokenBelieved takes the member that kept the highest token for the last primary.
	brokenTokenBelieved
	// brokenPrimaryCertain takes the report of the older state's primary as evidence.
	brokenPrimaryCertain
	// brokenTakeOverAborted lets a switchover of what was restored be rolled back.
	brokenTakeOverAborted
)

func (b breakage) has(rule breakage) bool { return b&rule != 0 }
