package oracle

import "time"

// UnitHistory is what was recorded of units: by the guards and the stores themselves, by their clients, and by a watch
// of the ownership maps. Empty when the drill's story has none.
type UnitHistory struct {
	// Maps are the versions of all ownership maps, as the API showed them.
	Maps []OwnershipMap
	// Admitted are the writes that guards let through, Doors what guards and stores say of when they were open.
	Admitted []Admission
	Doors    []Door
	// Stored are the writes that primaries accepted, from every member's journal; Logs are what each member holds in the end.
	Stored []Stored
	Logs   []StoreLog
	// Primaries are the owners' stores in the end: the member that takes writes, by store.
	Primaries map[string]string
	// Orders are the clients' writes.
	Orders []Order
	// Switchovers are those that the drill made.
	Switchovers []Switchover
}

// OwnershipMap is one version of the map of a Unitization.
type OwnershipMap struct {
	At          Time
	Unitization string
	Epoch       uint64
	Ranges      []OwnedRange
}

// OwnedRange is a range of shards with its owner.
type OwnedRange struct {
	From, To int
	Cells    []string
	Frozen   bool
	Since    uint64
}

// Admission is a write that a guard let through.
type Admission struct {
	At          Time
	Guard       string // the instance
	Cell        string
	Unitization string
	Shard       int
	Since       uint64
	ID          string
}

// Door is when a guard, or a store's member, began or ceased to take writes.
type Door struct {
	At Time
	// Guard and Cell are the guard's; Store and Member the store's.
	Guard, Cell   string
	Unitization   string
	From, To      int
	Store, Member string
	// Since is the range's, or the store's token.
	Since uint64
	Open  bool
}

// Stored is a write as a store has it.
type Stored struct {
	// At is when By, the primary, accepted it.
	At           Time
	Store, By    string
	Token, Index uint64
	Unitization  string
	Shard        int
	ID           string
}

// StoreLog is what a member holds in the end.
type StoreLog struct {
	Store, Member string
	Entries       []Stored
}

// Order is a client's write.
type Order struct {
	Client      string
	ID          string
	Unitization string
	Shard       int
	Start, End  Time
	// Acknowledged; otherwise it failed for Reason, or has no outcome (Unknown).
	Acknowledged, Unknown bool
	Reason                string
	// Refused is how often it was refused before its outcome, Readdressed whether it was sent to the cell that a refusal named.
	Refused     int
	Readdressed bool
}

// Switchover is a switchover of the drill.
type Switchover struct {
	Name, Step string
	Disaster   bool
	// Approved is when the approval was sent; Opened when the API showed the new owners open, Done its end. Zero: never.
	Approved, Opened, Done Time
	// Freeze and Open are the epochs between which nobody took writes.
	Freeze, Open uint64
	// Moved are what it moved.
	Moved []MovedRange
}

// MovedRange is a range that a switchover moved.
type MovedRange struct {
	Unitization   string
	From, To      int
	Cells         []string
	ToCells       []string
	Store, Target string
}

// Outage is how long nobody took writes for a shard.
type Outage struct {
	Switchover, Unitization string
	Shard                   int
	// Closed is from the first of the old guards that refused to the first of the new ones that, with its store, took writes.
	Closed time.Duration
	// Gap is the longest time between two writes that the store accepted around it: what a user notices, sampled by the load.
	Gap time.Duration
	// Recovery is from the approval to the first write that was accepted afterwards.
	Recovery time.Duration
}
