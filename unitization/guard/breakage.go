package guard

// breakage is a set of rules of ownership that a test breaks on purpose, to see that it is found. Production code never
// sets one; the zero value keeps every rule.
type breakage uint

const (
	// brokenForever takes a permit that has ended for one that holds (rule 1).
	brokenForever breakage = 1 << iota
	// brokenCountsFromAnswer counts a permit from its answer (rule 2).
	brokenCountsFromAnswer
	// brokenMonotonicOnly counts on a clock that stops while the machine is suspended (rule 2).
	brokenMonotonicOnly
	// brokenClosedWithFlights names a freeze while writes are in flight (rule 6).
	brokenClosedWithFlights
	// brokenCountsAfterCheck trusts the map that it saw before it counted (rule 6).
	brokenCountsAfterCheck
	// brokenGoesBack takes an older map when the relay is another (rule 6).
	brokenGoesBack
	// brokenFirstShard takes the first of two shards (rule 7).
	brokenFirstShard
	// brokenUndeclaredReads takes what no table names for a read (rule 7).
	brokenUndeclaredReads
	// brokenStreamStart checks a stream at its start only (rule 7).
	brokenStreamStart
	// brokenAnyCell takes any active cell for its own (rule 8).
	brokenAnyCell
)

func (b breakage) has(rule breakage) bool { return b&rule != 0 }
