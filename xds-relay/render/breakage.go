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
)

func (b breakage) has(rule breakage) bool { return b&rule != 0 }
