package permit

// breakage is a set of rules that a test breaks on purpose, to see that it is found. Production code never sets one;
// the zero value keeps every rule.
type breakage uint64

const (
	// brokenCountFromAnswer counts from the answer's arrival, not from the ask (rule 2).
	brokenCountFromAnswer breakage = 1 << iota
	// brokenMonotonicOnly counts on a clock that stops while the machine is suspended (rule 2).
	brokenMonotonicOnly
	// brokenGrantsAll hands on the length of the hop's own permit, not what is left of it (rule 1).
	brokenGrantsAll
	// brokenAcksByPosition acknowledges a freeze as soon as the hop itself has it (rule 6).
	brokenAcksByPosition
	// brokenForgetsMoved forgets what was granted over a stream when the stream ends (rule 6).
	brokenForgetsMoved
	// brokenAcksAfterStart acknowledges at once after a restart (rule 6).
	brokenAcksAfterStart
	// brokenWaitsByWall takes others' permits for ended when the wall clock says so.
	brokenWaitsByWall
	// brokenNoDrift waits for the end of others' permits without the margin of drift (rule 5).
	brokenNoDrift
	// brokenGoesBack lets a hop take an answer that is older than what it holds (rule 6).
	brokenGoesBack
	// brokenAnyCell grants to cells of other centers (rule 3).
	brokenAnyCell
)

func (b breakage) has(rule breakage) bool { return b&rule != 0 }
