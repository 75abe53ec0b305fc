package switchover

import "time"

// State is everything that decides who may write. It is a value: nothing that it points to is ever changed, Apply makes
// new ones of what an event touches.
type State struct {
	// Epoch is the last one taken. It grows by one with each change of any map, and never goes back.
	Epoch uint64
	// Maps are the ownership maps by Unitization.
	Maps map[string]*Map
	// Stores are the fence domains by name.
	Stores map[string]*Store
	// Sessions are what hands permits on, by id, until it is certain that no permit of theirs is left.
	Sessions map[string]*Session
	// Switchovers are all that are declared, running or ended, by name.
	Switchovers map[string]*Switchover
	// Restored is there from a restore of an older state until everything is reconciled.
	Restored *Restored `json:",omitempty"`
}

// Map is the ownership map of one Unitization.
type Map struct {
	Shards int
	// Epoch is that of the map's last change.
	Epoch uint64
	// Ranges are sorted and disjoint, and hold every shard; neighbours differ.
	Ranges []Range
	// Wanted are the cells that switchovers are about to enter, sorted.
	Wanted []string
	// Permit is T, how long a permit holds.
	Permit time.Duration
	// PermitBefore is the longest T that was in force before, where it is longer: a leader that has not seen the change
	// waits for it, too (rule 5).
	PermitBefore time.Duration `json:",omitempty"`
	// Keep says that guards go on when their permits end.
	Keep bool
}

// Range is a range of shards with its owner.
type Range struct {
	// From and To are the first and the last shard.
	From, To int
	Unit     string
	// Cells are those that take writes, by name (<unit>.<center>), sorted.
	Cells  []string
	Frozen bool
	// Since is the epoch of the last change of owner, cells or Frozen.
	Since uint64
	// Left are the cells that took writes until the freeze Since; they acknowledge it. Empty unless Frozen and not yet
	// committed.
	Left []string
	// Lock is the name of the switchover that moves the range; empty: none.
	Lock string
}

// Store is a fence domain.
type Store struct {
	// Members are centers, sorted.
	Members []string
	// Synchronous says that an acknowledged write is on a majority of the members.
	Synchronous bool
	// HoldsPermit says that a primary that is cut off closes by itself when its permit ends.
	HoldsPermit bool
	// Primary is the member that takes writes, or took them last while the store is closed.
	Primary string
	// Accepting says that the primary may have a permit.
	Accepting bool
	// Fenced says that there is evidence that no member takes writes, and none will before the next Open or Unfence. A
	// switchover that supersedes another builds on it.
	Fenced bool
	// Token is the highest ordered.
	Token uint64
	// Order is what the store's agents are to do; nil before the first switchover.
	Order *Order
	// Lock is the name of the switchover that moves the store; empty: none.
	Lock string
	// TwoWritersPossible is the last switchover that broke the glass here.
	TwoWritersPossible string
	// Restored says that any member may be the primary: the state is older than the store, which has not been opened
	// since.
	Restored bool `json:",omitempty"`
}

// Action is what an Order asks for.
type Action int

// The actions in the order of a switchover; Unfence ends one that was rolled back.
const (
	Fence Action = iota + 1
	CatchUp
	Promote
	Open
	Unfence
)

// Order is what is wanted of a store. It exists only once the entry that decides it is committed (rule 13).
type Order struct {
	Action Action
	// Member is the center that acts; empty: every member.
	Member string
	Token  uint64
	// Switchover and UID are the one that ordered it; Step grows with each order of a switchover.
	Switchover string
	UID        string
	Step       int
	// Position is what CatchUp must reach.
	Position Position
}

// Position is how much a member holds, ordered by Epoch, then Index.
type Position struct{ Epoch, Index uint64 }

// Holder is what a session belongs to.
type Holder int

// The holders.
const (
	Relay Holder = iota + 1
	Agent
)

// Session is the registered life of a relay or an agent.
type Session struct {
	ID      string
	Holder  Holder
	Name    string
	Cluster string
	Center  string
	// Closed sessions get no more permits, and are removed when their last one has ended.
	Closed bool
}

// Mode is what a switchover may count on.
type Mode int

// The modes.
const (
	Planned Mode = iota + 1
	Disaster
)

// Phase is how far a switchover has come.
type Phase int

// The phases in order, as in v1alpha1.SwitchoverPhase.
const (
	PhasePlanned Phase = iota + 1
	PhaseApproved
	PhaseFrozen
	PhaseFencing
	PhaseCatchingUp
	PhaseCaughtUp
	PhaseCommitted
	PhasePromoted
	PhaseOpened
	PhaseDone
	PhaseAborted
	PhaseSuperseded
)

// Switchover is one switchover.
type Switchover struct {
	Name, UID string
	Mode      Mode
	Phase     Phase
	Plan      Plan
	// Hash is the plan's.
	Hash     string
	Approver string
	// Facts are what a person confirmed of old primaries, by store.
	Facts map[string]Fact
	// Supersedes is the switchover that this one takes over from.
	Supersedes string
	// Freeze and Commit are the epochs of the freeze and of the commit; 0 before.
	Freeze, Commit uint64
	// Acked are the concerned sessions that acknowledged the freeze.
	Acked map[string]bool
	// WaitedOut says that every permit of before the freeze has ended.
	WaitedOut bool
	// NoReturn says that there is no old owner to go back to: past Commit, or taken over from one that is.
	NoReturn bool
	// Step is that of the last order.
	Step int
	// Reports are what the members said of the order in force, by store and member.
	Reports map[string]map[string]Report
	// Message says why it ended, or what is worth knowing, for people.
	Message string
}

// Fact is what a person confirms of an old primary.
type Fact int

// The facts.
const (
	PoweredOff Fact = iota + 1
	BreakGlass
)

// Report is what a member said.
type Report struct {
	Step     int
	Token    uint64
	Position Position
	// Primary says that the member was the primary before the fence, Before is the token that it kept then: as far as
	// its agent knows. Only reports to a restored state have them.
	Primary bool   `json:",omitempty"`
	Before  uint64 `json:",omitempty"`
}

// Plan is what a switchover moves. Equal plans have equal hashes.
type Plan struct {
	// Moves are sorted by unitization and first shard.
	Moves []Move
	// Stores are sorted by name: every fence domain that is closed on the way.
	Stores []StoreMove
}

// Move is a range and what becomes of it.
type Move struct {
	Unitization    string
	From, To       int
	Unit, ToUnit   string
	Cells, ToCells []string // sorted
	Store          string   // of the unit; it need not be in Plan.Stores
}

// StoreMove is a store and what becomes of its primary; they may be the same.
type StoreMove struct {
	Store           string
	Primary, Target string
}

// Problem is why something is refused: the field of the object that is wrong, its value, and the rule.
type Problem struct {
	// Field is a path, as spec.evacuate.region or status.phase.
	Field string
	Value any
	// Detail says what is wrong and what to do.
	Detail string
}
