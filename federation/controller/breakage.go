package controller

// expiryBreakage is a set of rules of expiry that a test breaks on purpose, to see that it is found. Production code
// never sets one; the zero value keeps every rule.
type expiryBreakage uint64

const (
	// brokenKeepFor expires clusters as soon as they are silent: a lost link is read as a dead workload.
	brokenKeepFor expiryBreakage = 1 << iota
	// brokenMajority lets one server's judgement be enough.
	brokenMajority
	// brokenAbsent counts servers that do not answer as hearing nothing.
	brokenAbsent
	// brokenVeto lets a majority overrule a server that hears the cluster.
	brokenVeto
	// brokenUp believes a server that has just started that it has heard nothing for long.
	brokenUp
	// brokenOldAge lets any age below keepFor bring a cluster back.
	brokenOldAge
	// brokenSwitch ignores that withdrawals are stopped.
	brokenSwitch
	// brokenBound ignores how many clusters may be withdrawn at once.
	brokenBound
)

func (b expiryBreakage) has(rule expiryBreakage) bool { return b&rule != 0 }
