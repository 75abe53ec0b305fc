package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Unitization divides the business into units by a sharding key. Its spec is the baseline; what holds now is its
// status, which only switchovers change. Several may live side by side, as users and merchants.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type Unitization struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what the operator declares: the baseline.
	Spec UnitizationSpec `json:"spec"`
	// status is what holds now. It is written by Pentad alone.
	// +optional
	Status UnitizationStatus `json:"status,omitempty"`
}

// UnitizationSpec is the declared part of a Unitization.
type UnitizationSpec struct {
	// shards is the number of shards, for life: 1 to 16384. Global units have 1.
	Shards int32 `json:"shards"`
	// key says which shard a request is for. It cannot change. Required unless shards is 1, and then absent.
	// +optional
	Key *ShardingKey `json:"key,omitempty"`
	// overrides give single keys another shard than the function does. They cannot change: a key would change its shard,
	// and perhaps its unit, without a switchover.
	// +optional
	// +listType=map
	// +listMapKey=key
	Overrides []KeyOverride `json:"overrides,omitempty"`
	// units own the shards: each shard exactly one.
	// +listType=map
	// +listMapKey=name
	Units []Unit `json:"units"`
	// services are routed by these units. A service belongs to one Unitization at most.
	// +optional
	// +listType=map
	// +listMapKey=name
	Services []ServiceBinding `json:"services,omitempty"`
	// isolation says what a unit does when its permits end: Stop refuses writes, Keep goes on.
	// +optional
	// +default="Stop"
	Isolation Isolation `json:"isolation,omitempty"`
	// guard says that the workloads have guards: in the SDK, or beside the inbound proxy.
	// +optional
	Guard bool `json:"guard,omitempty"`
	// permit says how long a permit holds.
	// +optional
	Permit PermitTerms `json:"permit,omitempty"`
}

// KeyFunction maps a key to a shard.
type KeyFunction string

const (
	// KeyLastDigits takes the last digits of a decimal id, as many as shards has zeros, after skipping skipDigits at the
	// end. Shards must be a power of ten.
	KeyLastDigits KeyFunction = "LastDigits"
	// KeyModulo takes a decimal id of any length modulo shards.
	KeyModulo KeyFunction = "Modulo"
)

// ShardingKey says which shard a request is for.
type ShardingKey struct {
	// header is the metadata or HTTP header with the key, in lower case, as in x-user-id.
	Header string `json:"header"`
	// function maps the key to a shard: LastDigits or Modulo.
	Function KeyFunction `json:"function"`
	// skipDigits is how many of the last digits LastDigits passes over.
	// +optional
	SkipDigits int32 `json:"skipDigits,omitempty"`
}

// KeyOverride gives one key another shard.
type KeyOverride struct {
	// key is the key as it is sent.
	Key string `json:"key"`
	// shard is its shard.
	Shard int32 `json:"shard"`
}

// UnitType says what a unit is for.
type UnitType string

const (
	// UnitSharded owns shards (RZone).
	UnitSharded UnitType = "Sharded"
	// UnitGlobal owns the only shard: one writable copy for everyone (GZone).
	UnitGlobal UnitType = "Global"
	// UnitCity holds read-mostly copies of global data, which readers in its cells' regions use (CZone). It owns nothing.
	UnitCity UnitType = "City"
)

// Unit is a slice of the business.
type Unit struct {
	// name is unique in the estate, a DNS-1123 label, as in rz01.
	Name string `json:"name"`
	// type is Sharded, Global or City.
	// +optional
	// +default="Sharded"
	Type UnitType `json:"type,omitempty"`
	// shards are the unit's at the baseline, inclusive ranges. Only of Sharded units.
	// +optional
	// +listType=atomic
	Shards []ShardRange `json:"shards,omitempty"`
	// cells are where the unit may run, one a center.
	// +listType=map
	// +listMapKey=center
	Cells []Cell `json:"cells"`
	// store is the Store with the unit's data, of no other Unitization. A Sharded or Global unit needs one with several
	// active cells, with isolation Keep, and without guard. It cannot change while the unit owns shards. City units have
	// none.
	// +optional
	Store string `json:"store,omitempty"`
}

// ShardRange is an inclusive range of shards.
type ShardRange struct {
	// from is the first shard.
	From int32 `json:"from"`
	// to is the last shard.
	To int32 `json:"to"`
}

// Cell is a unit's deployment in one center. Its name in the estate is <unit>.<center>.
type Cell struct {
	// center is the Full Center that the cell is in.
	Center string `json:"center"`
	// clusters selects the clusters of that center that the cell runs in, by their labels; empty: all.
	// +optional
	Clusters *metav1.LabelSelector `json:"clusters,omitempty"`
	// standby says that the cell is not active at the baseline.
	// +optional
	Standby bool `json:"standby,omitempty"`
}

// ServiceBinding binds a service to the units.
type ServiceBinding struct {
	// name is the service's name in the estate.
	Name string `json:"name"`
	// type is Sharded or Global, as the units are.
	// +optional
	// +default="Sharded"
	Type UnitType `json:"type,omitempty"`
	// reads are the methods that change nothing, as gRPC paths: /package.Service/Method, or /package.Service/* for all.
	// What is not named is a write.
	// +optional
	// +listType=set
	Reads []string `json:"reads,omitempty"`
}

// Isolation says what a unit does when its permits end.
type Isolation string

const (
	// IsolationStop refuses writes. It needs guards, or stores that hold permits.
	IsolationStop Isolation = "Stop"
	// IsolationKeep goes on: only for units whose stores are fenced without permits in every case.
	IsolationKeep Isolation = "Keep"
)

// PermitTerms say how long a permit holds.
type PermitTerms struct {
	// duration is T: how long a guard may go on without an answer, and how long a disaster waits for those out of reach.
	// 1s to 1m.
	// +optional
	// +default="5s"
	Duration *metav1.Duration `json:"duration,omitempty"`
}

// RangeState says whether a range takes writes.
type RangeState string

const (
	// RangeOpen takes reads and writes.
	RangeOpen RangeState = "Open"
	// RangeFrozen takes reads only.
	RangeFrozen RangeState = "Frozen"
)

// UnitizationStatus is the ownership map that holds now.
type UnitizationStatus struct {
	// observedGeneration is the generation that this status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// epoch is the version of the map. A decimal number of 64 bits that only grows.
	// +optional
	Epoch string `json:"epoch,omitempty"`
	// ranges are sorted, disjoint, and hold every shard.
	// +optional
	// +listType=atomic
	Ranges []OwnedRange `json:"ranges,omitempty"`
	// wanted are cells that a switchover is about to enter.
	// +optional
	// +listType=atomic
	Wanted []string `json:"wanted,omitempty"`
}

// OwnedRange is a range of shards with its owner.
type OwnedRange struct {
	ShardRange `json:",inline"`
	// unit is the owner.
	Unit string `json:"unit"`
	// cells are those that take writes, by name.
	// +listType=atomic
	Cells []string `json:"cells"`
	// state is Open or Frozen.
	State RangeState `json:"state"`
	// since is the epoch of the last change of owner, cells or state.
	Since string `json:"since"`
	// switchover is the one that moves the range now.
	// +optional
	Switchover string `json:"switchover,omitempty"`
}

// UnitizationList is a list of Unitizations.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type UnitizationList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Unitization `json:"items"`
}
