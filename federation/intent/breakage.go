package intent

// breakage is a set of rules that a test breaks on purpose, to see that it is found. Production code never sets one;
// the zero value keeps every rule.
type breakage uint64

const (
	// brokenRevisionIsIndex takes the Raft index as revision (rule 7).
	brokenRevisionIsIndex breakage = 1 << iota
	// brokenNoDedup applies a retry again (rule 6).
	brokenNoDedup
	// brokenAnswersNotSaved leaves the answers out of the snapshot (rule 6).
	brokenAnswersNotSaved
	// brokenDecode answers an entry that cannot be decoded instead of stopping (rule 6).
	brokenDecode
	// brokenOwnedFields accepts any status, uid, generation and the like (rule 9).
	brokenOwnedFields
	// brokenReferences accepts any reference.
	brokenReferences
	// brokenSnapshotOrder writes a snapshot in the order of a map.
	brokenSnapshotOrder
	// brokenFeedSpecs leaves status and all metadata in the feed (rule 10).
	brokenFeedSpecs
	// brokenFeedRestart lets the feed go on after a restore instead of beginning anew (rule 6 of feeds).
	brokenFeedRestart
	// brokenFeedProgress leaves the feed where it is when no record changed (rule 7).
	brokenFeedProgress
	// brokenOneHistory bounds the history of all kinds together (rule 10).
	brokenOneHistory
	// brokenCursors lets cursors live on through a restore.
	brokenCursors

	// brokenOwnedStatus takes the status of Stores, Unitizations and Switchovers as it comes (rule 9).
	brokenOwnedStatus
	// brokenStatusStays leaves the status of objects that a command touches but does not name as it was (rule 9).
	brokenStatusStays
	// brokenOneRevision gives all objects of one entry the same revision (rule 7).
	brokenOneRevision
	// brokenFeedPieces commits an entry's records one by one (rule 13 of feeds: positions lie between entries).
	brokenFeedPieces
	// brokenSilentSessions takes no revision for a session or an acknowledgement (rule 3 of ownership).
	brokenSilentSessions
	// brokenOwnershipNotSaved leaves the ownership out of the snapshot (rule 3 of ownership).
	brokenOwnershipNotSaved
	// brokenReapply makes the map anew from the spec at each update of a Unitization (rule 22 of ownership).
	brokenReapply
	// brokenStalePlan approves the plan that was made at the creation, whatever has happened since (rule 22 of ownership).
	brokenStalePlan
	// brokenDeadline lets switchovers begin after their deadline.
	brokenDeadline
	// brokenEpochStart begins epochs at 0 in each incarnation (rule 8).
	brokenEpochStart

	// brokenWithdrawalsSwitch withdraws clusters though withdrawals are stopped (rule 11).
	brokenWithdrawalsSwitch
	// brokenWithdrawalsBound withdraws more clusters at once than may be (rule 11).
	brokenWithdrawalsBound
	// brokenExpiryStays keeps a cluster's expiry when the Cluster is deleted (rule 11).
	brokenExpiryStays
	// brokenExpiryNotSaved leaves the expiries out of the snapshot (rule 11).
	brokenExpiryNotSaved

	// brokenLongRecords takes declarations that no record of the feed can hold.
	brokenLongRecords
)

func (b breakage) has(rule breakage) bool { return b&rule != 0 }
