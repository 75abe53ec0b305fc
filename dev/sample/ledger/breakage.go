package ledger

// breakage is a set of rules that a test breaks on purpose, to see that it is found. Production code never sets one;
// the zero value keeps every rule.
type breakage uint32

const (
	// brokenCompare: a replica does not compare the token of what it is sent.
	brokenCompare breakage = 1 << iota
	// brokenSync: a replica says that it has on disk what is not synced.
	brokenSync
	// brokenKeep: the token is not kept on disk.
	brokenKeep
	// brokenOrder: orders with lower tokens are obeyed.
	brokenOrder
	// brokenPermit: no permit is asked for when a write is acknowledged.
	brokenPermit
	// brokenClaim: a member becomes primary without asking whether others hold more.
	brokenClaim
	// brokenBegin: a primary begins without an entry of its own, and counts older ones as acknowledged.
	brokenBegin
	// brokenFirst: the primary sends entries before they are on its own disk.
	brokenFirst
	// brokenDedup: a repeated write is written again.
	brokenDedup
	// brokenOldSince: a write is taken that a guard let in before the token was ordered: its cell may have been left.
	brokenOldSince
	// brokenChanged: what is fetched is written although the log has changed since it was asked for.
	brokenChanged
)

func (b breakage) has(rule breakage) bool { return b&rule != 0 }
