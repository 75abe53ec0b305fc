package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// CenterRole says what a center is for.
type CenterRole string

const (
	// CenterFull runs workloads, and may vote.
	CenterFull CenterRole = "Full"
	// CenterArbiter only votes; no cluster may be in it.
	CenterArbiter CenterRole = "Arbiter"
)

// CenterPhase is where a center is in its life.
type CenterPhase string

const (
	// CenterOpen takes units.
	CenterOpen CenterPhase = "Open"
	// CenterDraining keeps what it has and takes nothing new.
	CenterDraining CenterPhase = "Draining"
	// CenterClosed takes nothing.
	CenterClosed CenterPhase = "Closed"
)

// Center is a data center in a region.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type Center struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what the operator declares.
	Spec CenterSpec `json:"spec"`
	// status is written by Pentad alone.
	// +optional
	Status CenterStatus `json:"status,omitempty"`
}

// CenterSpec is the declared part of a Center.
type CenterSpec struct {
	// region is the city that the center is in. It cannot change: a center does not move.
	Region string `json:"region"`
	// role is Full (runs workloads) or Arbiter (only votes).
	// +optional
	// +default="Full"
	Role CenterRole `json:"role,omitempty"`
	// phase says whether units may move in: only into an Open center.
	// +optional
	// +default="Open"
	Phase CenterPhase `json:"phase,omitempty"`
}

// TakesUnits says that units may move into the center. A center of before there were phases is Open.
func (s CenterSpec) TakesUnits() bool {
	return s.Role == CenterFull && (s.Phase == CenterOpen || s.Phase == "")
}

// declared is the spec with what an absent phase means: the API reads stored objects with defaults, the state machine
// without, and both must agree on whether a spec has changed.
func (s CenterSpec) declared() CenterSpec {
	if s.Phase == "" {
		s.Phase = CenterOpen
	}
	return s
}

// CenterStatus is the observed part of a Center.
type CenterStatus struct {
	// observedGeneration is the generation that this status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
}

// CenterList is a list of Centers.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type CenterList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Center `json:"items"`
}

// ClusterType says what a cluster is made of.
type ClusterType string

// ClusterVM is a group of VMs.
const ClusterVM ClusterType = "VM"

// Cluster is a member of the estate, in one center. Feeds of a cluster that is not declared are kept, but its
// endpoints are not in the catalog.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type Cluster struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what the operator declares.
	Spec ClusterSpec `json:"spec"`
	// status is written by Pentad alone.
	// +optional
	Status ClusterStatus `json:"status,omitempty"`
}

// ClusterSpec is the declared part of a Cluster.
type ClusterSpec struct {
	// center is the name of the Center that the cluster is in, a Full one. It cannot change: a cluster does not move.
	Center string `json:"center"`
	// type is VM.
	// +optional
	// +default="VM"
	Type ClusterType `json:"type,omitempty"`
	// onSilence says what becomes of the cluster's endpoints when nothing is heard of its agent.
	// +optional
	OnSilence *OnSilence `json:"onSilence,omitempty"`
}

// ClusterStatus is the observed part of a Cluster.
type ClusterStatus struct {
	// observedGeneration is the generation that this status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// region is the region of the cluster's center.
	// +optional
	Region string `json:"region,omitempty"`
	// conditions has Expired, from when the cluster's endpoints were first withdrawn.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ClusterList is a list of Clusters.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type ClusterList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Cluster `json:"items"`
}

// ServicePolicy says how one service is called. At most one ServicePolicy names a service.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type ServicePolicy struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what the operator declares.
	Spec ServicePolicySpec `json:"spec"`
	// status is written by Pentad alone.
	// +optional
	Status ServicePolicyStatus `json:"status,omitempty"`
}

// ServicePolicySpec is the declared part of a ServicePolicy.
type ServicePolicySpec struct {
	// service is the name of the service in the estate. It cannot change.
	Service string `json:"service"`
	// failover lists where callers go, in order of preference: each tier takes the endpoints that no earlier tier has.
	// Endpoints in no tier are never used. Empty means: scope Center, scope Region, scope Any.
	// +optional
	// +listType=atomic
	Failover []FailoverTier `json:"failover,omitempty"`
	// timeouts bound a call.
	// +optional
	Timeouts *Timeouts `json:"timeouts,omitempty"`
}

// FailoverScope is a place seen from the caller.
type FailoverScope string

const (
	// ScopeCenter is the caller's own center.
	ScopeCenter FailoverScope = "Center"
	// ScopeRegion is the caller's own region.
	ScopeRegion FailoverScope = "Region"
	// ScopeAny is everywhere.
	ScopeAny FailoverScope = "Any"
)

// FailoverTier is one place to go. Exactly one field is set.
type FailoverTier struct {
	// scope is a place seen from the caller: Center, Region or Any.
	// +optional
	Scope FailoverScope `json:"scope,omitempty"`
	// regions are regions by name.
	// +optional
	// +listType=set
	Regions []string `json:"regions,omitempty"`
	// centers are Centers by name.
	// +optional
	// +listType=set
	Centers []string `json:"centers,omitempty"`
}

// Timeouts bound a call.
type Timeouts struct {
	// request is the longest that a whole call may take, retries included. A caller's own shorter deadline wins.
	// +optional
	Request *metav1.Duration `json:"request,omitempty"`
	// connect is the longest that a new connection may take.
	// +optional
	Connect *metav1.Duration `json:"connect,omitempty"`
}

// ServicePolicyStatus is the observed part of a ServicePolicy.
type ServicePolicyStatus struct {
	// observedGeneration is the generation that this status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
}

// ServicePolicyList is a list of ServicePolicies.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type ServicePolicyList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ServicePolicy `json:"items"`
}
