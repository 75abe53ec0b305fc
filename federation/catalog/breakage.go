package catalog

// breakage is a set of rules that a test breaks on purpose, to see that it is found. Production code never sets one;
// the zero value keeps every rule.
type breakage uint64

const (
	// breakAbsence removes what a delta doesn't name, as if it were a reset.
	breakAbsence breakage = 1 << iota
	// breakReset lets a reset remove what it doesn't name from all feeds of the cluster.
	breakReset
	// breakPlace lets clusters without a Cluster object contribute.
	breakPlace
	// breakSilent withdraws silent clusters: a lost link is read as a dead workload.
	breakSilent
	// breakOldest lets the first cluster by name decide a conflict.
	breakOldest
	// breakOneSided reports a conflict only to those who lost it.
	breakOneSided
	// breakReject drops what a key held when its new value can't be read.
	breakReject
	// breakTouch forgets that a Cluster object touches services.
	breakTouch
	// breakShared changes a merged service in place.
	breakShared
	// breakPolicy forgets the old service when a policy goes over to another.
	breakPolicy
	// breakOwnership forgets that an Ownership record touches services.
	breakOwnership
	// breakPlain makes a service plain while one of its Unitization's two records is missing.
	breakPlain
	// breakUnit gives a cell the endpoints of all units.
	breakUnit
	// breakCenter gives a cell the clusters of all centers.
	breakCenter
	// breakSelector gives a cell all clusters of its center.
	breakSelector
	// breakExpired withdraws nothing.
	breakExpired
	// breakHeard withdraws an expired cluster that the holder hears.
	breakHeard
	// breakOwn withdraws the holder's own cluster.
	breakOwn
	// breakLiveness forgets that a Liveness record touches services.
	breakLiveness
)

func (b breakage) has(rule breakage) bool { return b&rule != 0 }
