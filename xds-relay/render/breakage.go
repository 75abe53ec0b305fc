package render

// breakage is a set of rules that a test breaks on purpose, to see that it is found. Production code never sets one;
// the zero value keeps every rule.
type breakage uint64

const (
	// breakSilentWithdrawn leaves silent clusters out.
	breakSilentWithdrawn breakage = 1 << iota
	// breakSilentAlike treats silent clusters as live ones.
	breakSilentAlike
	// breakGaps numbers priorities by tier, without closing up.
	breakGaps
	// breakDuplicates keeps an address that several clusters name.
	breakDuplicates
	// breakSilence renders nothing where there are no endpoints.
	breakSilence
	// breakDraining gives draining endpoints traffic.
	breakDraining
	// breakPanic leaves a service whose endpoints are all unhealthy without any.
	breakPanic
	// breakSpill keeps all traffic at the first tier with a ready endpoint.
	breakSpill
	// breakWeights leaves localities without weight.
	breakWeights
	// breakGone deletes what exists no longer.
	breakGone
	// breakFailover ignores the policy's order.
	breakFailover
	// breakFreeze removes the routes of frozen ranges instead of aborting them.
	breakFreeze
	// breakReads aborts the reads of frozen ranges, too.
	breakReads
	// breakRange leaves out the last shard of each range.
	breakRange
	// breakUnnamed names the cells that are active, and no other candidates.
	breakUnnamed
	// breakActive routes writes to any cell of the owner.
	breakActive
	// breakNearest takes the first cell by name.
	breakNearest
	// breakReach takes the nearest cell, whatever can be reached there.
	breakReach
	// breakMerge merges neighbours of which one is frozen.
	breakMerge
	// breakCity sends reads of global data to the Global unit.
	breakCity
	// breakStamp routes calls without a shard.
	breakStamp
	// breakLast routes what no other route takes.
	breakLast
	// breakCap lets routes grow without bound.
	breakCap
	// breakRefused routes a service plainly when nobody knows who owns its shards.
	breakRefused
	// breakStale keeps the routes when only a cell's reach has changed.
	breakStale
)

func (b breakage) has(rule breakage) bool { return b&rule != 0 }
