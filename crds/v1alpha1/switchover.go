package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Switchover moves ownership: for a drill, a disaster, or back to the baseline. Its spec cannot change. When it is
// created it is planned; it begins when the plan is approved.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type Switchover struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what the operator declares.
	Spec SwitchoverSpec `json:"spec"`
	// status is written by Pentad alone.
	// +optional
	Status SwitchoverStatus `json:"status,omitempty"`
}

// SwitchoverMode says what a switchover may count on.
type SwitchoverMode string

const (
	// SwitchoverPlanned moves what is alive: it waits until the old side has acknowledged and drained.
	SwitchoverPlanned SwitchoverMode = "Planned"
	// SwitchoverDisaster moves what may be dead: the end of its permits replaces the acknowledgements of those out of
	// reach.
	SwitchoverDisaster SwitchoverMode = "Disaster"
	// SwitchoverDrill is Planned, by another name in reports.
	SwitchoverDrill SwitchoverMode = "Drill"
)

// SwitchoverSpec says what moves. Exactly one of evacuate, moves and returnToBaseline is set.
type SwitchoverSpec struct {
	// mode is Planned, Disaster or Drill.
	Mode SwitchoverMode `json:"mode"`
	// evacuate moves everything out of a region or a center.
	// +optional
	Evacuate *Evacuation `json:"evacuate,omitempty"`
	// moves are given one by one.
	// +optional
	// +listType=atomic
	Moves []Move `json:"moves,omitempty"`
	// returnToBaseline moves everything to where Unitizations and Stores declare it.
	// +optional
	ReturnToBaseline bool `json:"returnToBaseline,omitempty"`
	// deadline is when the switchover rolls back by itself unless it is past Commit; it cannot be approved later. Empty:
	// an hour after its creation.
	// +optional
	Deadline *metav1.Time `json:"deadline,omitempty"`
	// oldPrimaries says what a person knows of primaries that cannot be reached. Only in Disaster.
	// +optional
	// +listType=map
	// +listMapKey=store
	OldPrimaries []OldPrimary `json:"oldPrimaries,omitempty"`
	// acceptDataLoss allows a Disaster with stores that replicate asynchronously.
	// +optional
	AcceptDataLoss bool `json:"acceptDataLoss,omitempty"`
	// supersedes names a switchover past its Commit that cannot go on, whose shards and stores this Disaster takes over.
	// +optional
	Supersedes string `json:"supersedes,omitempty"`
}

// Evacuation says what is left. Exactly one field is set.
type Evacuation struct {
	// region is left with all its centers.
	// +optional
	Region string `json:"region,omitempty"`
	// center is left.
	// +optional
	Center string `json:"center,omitempty"`
}

// Move moves shards of one unit.
type Move struct {
	// unitization is the name of the Unitization.
	Unitization string `json:"unitization"`
	// unit owns the shards now.
	Unit string `json:"unit"`
	// shards are those that move; empty: all that the unit owns.
	// +optional
	// +listType=atomic
	Shards []ShardRange `json:"shards,omitempty"`
	// toUnit owns them afterwards; empty: the same unit. Both have the same store.
	// +optional
	ToUnit string `json:"toUnit,omitempty"`
	// toCenters are the centers of the cells that are active afterwards.
	// +listType=set
	ToCenters []string `json:"toCenters"`
	// toPrimary is the center of the store's primary afterwards; empty: as it is, or in one of toCenters when it must
	// move.
	// +optional
	ToPrimary string `json:"toPrimary,omitempty"`
}

// OldPrimaryFact is what a person confirms of a primary.
type OldPrimaryFact string

const (
	// OldPrimaryPoweredOff says that the machine is off and stays off.
	OldPrimaryPoweredOff OldPrimaryFact = "PoweredOff"
	// OldPrimaryBreakGlass goes on without knowing. It is recorded that two writers were possible.
	OldPrimaryBreakGlass OldPrimaryFact = "BreakGlass"
)

// OldPrimary is what a person confirms of a store's old primary.
type OldPrimary struct {
	// store is the Store.
	Store string `json:"store"`
	// fact is PoweredOff or BreakGlass.
	Fact OldPrimaryFact `json:"fact"`
}

// SwitchoverPhase is how far a switchover has come.
type SwitchoverPhase string

// The phases, in order; Aborted and Superseded are the other ends.
const (
	PhasePlanned    SwitchoverPhase = "Planned"    // waits for approval of status.planHash
	PhaseApproved   SwitchoverPhase = "Approved"   // locks are held, the target's cells are wanted
	PhaseFrozen     SwitchoverPhase = "Frozen"     // shards are read-only, waits for the old cells to drain
	PhaseFencing    SwitchoverPhase = "Fencing"    // the old primaries are being closed
	PhaseCatchingUp SwitchoverPhase = "CatchingUp" // the new primaries take over what was written
	PhaseCaughtUp   SwitchoverPhase = "CaughtUp"   // ready to commit
	PhaseCommitted  SwitchoverPhase = "Committed"  // the new owner is decided, the new primaries are promoted; no way back
	PhasePromoted   SwitchoverPhase = "Promoted"   // the new primaries are ready, still closed
	PhaseOpened     SwitchoverPhase = "Opened"     // writes are taken again
	PhaseDone       SwitchoverPhase = "Done"       // data planes have followed, everything was verified
	PhaseAborted    SwitchoverPhase = "Aborted"    // rolled back to the old owner
	PhaseSuperseded SwitchoverPhase = "Superseded" // another switchover took over
)

// SwitchoverStatus is how far a switchover has come.
type SwitchoverStatus struct {
	// observedGeneration is the generation that this status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// phase is how far it has come.
	// +optional
	Phase SwitchoverPhase `json:"phase,omitempty"`
	// planHash is what an approval must name.
	// +optional
	PlanHash string `json:"planHash,omitempty"`
	// plan is what moves.
	// +optional
	// +listType=atomic
	Plan []PlannedMove `json:"plan,omitempty"`
	// storePlan is which primaries move or close.
	// +optional
	// +listType=atomic
	StorePlan []PlannedStore `json:"storePlan,omitempty"`
	// approvedBy is who approved the plan.
	// +optional
	ApprovedBy string `json:"approvedBy,omitempty"`
	// freezeEpoch is the epoch of the freeze. Decimal.
	// +optional
	FreezeEpoch string `json:"freezeEpoch,omitempty"`
	// commitEpoch is the epoch of the commit. Decimal.
	// +optional
	CommitEpoch string `json:"commitEpoch,omitempty"`
	// waitedOut says that permits of the old side were waited out, not all acknowledged.
	// +optional
	WaitedOut bool `json:"waitedOut,omitempty"`
	// estimatedDataLoss says, after a Disaster with an asynchronous store, what may be lost. It is an estimate until the
	// old side is back.
	// +optional
	EstimatedDataLoss string `json:"estimatedDataLoss,omitempty"`
	// message says what it waits for or why it ended, for people.
	// +optional
	Message string `json:"message,omitempty"`
	// history has the time of each phase, by the clock of the server that proposed it.
	// +optional
	// +listType=atomic
	History []PhaseTime `json:"history,omitempty"`
}

// PhaseTime is when a phase began.
type PhaseTime struct {
	// phase is the phase.
	Phase SwitchoverPhase `json:"phase"`
	// time is when it began.
	Time metav1.MicroTime `json:"time"`
}

// PlannedMove is a range and what becomes of it.
type PlannedMove struct {
	// unitization is the Unitization.
	Unitization string `json:"unitization"`
	ShardRange  `json:",inline"`
	// unit is the owner before.
	Unit string `json:"unit"`
	// cells are active before.
	// +listType=atomic
	Cells []string `json:"cells"`
	// toUnit is the owner afterwards.
	ToUnit string `json:"toUnit"`
	// toCells are active afterwards.
	// +listType=atomic
	ToCells []string `json:"toCells"`
}

// PlannedStore is a store and what becomes of its primary.
type PlannedStore struct {
	// store is the Store.
	Store string `json:"store"`
	// primary is the center of the primary before.
	Primary string `json:"primary"`
	// toPrimary is the center of the primary afterwards; the same when the store only closes and opens again.
	ToPrimary string `json:"toPrimary"`
}

// SwitchoverApproval is what is posted to the subresource approve.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type SwitchoverApproval struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// planHash is the status.planHash that the approver has seen.
	PlanHash string `json:"planHash"`
}

// SwitchoverAbort is what is posted to the subresource abort.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type SwitchoverAbort struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// reason is kept in status.message.
	// +optional
	Reason string `json:"reason,omitempty"`
}

// SwitchoverList is a list of Switchovers.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type SwitchoverList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Switchover `json:"items"`
}
