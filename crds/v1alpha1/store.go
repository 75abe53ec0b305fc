package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Store is where units keep their data: one database with a primary and replicas in several centers. One fence closes
// all of it: it is a fence domain.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type Store struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what the operator declares.
	Spec StoreSpec `json:"spec"`
	// status is written by Pentad alone.
	// +optional
	Status StoreStatus `json:"status,omitempty"`
}

// StoreReplication says what a store's acknowledgement of a write means.
type StoreReplication string

const (
	// ReplicationSynchronous acknowledges a write when a majority of the members has it on disk: nothing that was
	// acknowledged is lost with one member.
	ReplicationSynchronous StoreReplication = "Synchronous"
	// ReplicationAsynchronous acknowledges a write when the primary has it: what was not yet copied is lost with it.
	ReplicationAsynchronous StoreReplication = "Asynchronous"
)

// StoreSpec is the declared part of a Store.
type StoreSpec struct {
	// members are the copies, 1 to 9, at most one in a center.
	// +listType=map
	// +listMapKey=center
	Members []StoreMember `json:"members"`
	// primary is the center of the member that takes writes at first and at the baseline. What holds now is
	// status.primary, which a switchover moves.
	Primary string `json:"primary"`
	// replication is Synchronous or Asynchronous.
	// +optional
	// +default="Asynchronous"
	Replication StoreReplication `json:"replication,omitempty"`
	// holdsPermit says that the primary holds a permit, or an agent beside it that closes it: it stops accepting writes
	// by itself when it is cut off. Without it, a primary out of reach must be confirmed to be powered off.
	// +optional
	HoldsPermit bool `json:"holdsPermit,omitempty"`
}

// StoreMember is one copy of a store.
type StoreMember struct {
	// center is the Full Center that the member is in.
	Center string `json:"center"`
	// cluster is the Cluster whose agent drives the member, in that center.
	Cluster string `json:"cluster"`
	// webhook drives the member by HTTP.
	Webhook *WebhookDriver `json:"webhook"`
}

// WebhookDriver drives a store's member by HTTP POSTs of JSON. What answers must keep the highest token that it has
// seen durably, and refuse lower ones: without that it is no fence.
type WebhookDriver struct {
	// url is where the agent posts, http or https.
	URL string `json:"url"`
	// timeout bounds one call; a driver that hangs is asked again.
	// +optional
	// +default="2s"
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// StoreState says whether a store takes writes.
type StoreState string

const (
	// StoreOpen takes writes at its primary.
	StoreOpen StoreState = "Open"
	// StoreClosed takes no writes: a switchover is moving it.
	StoreClosed StoreState = "Closed"
)

// StoreStatus is what holds now.
type StoreStatus struct {
	// observedGeneration is the generation that this status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// primary is the center of the member that takes writes.
	// +optional
	Primary string `json:"primary,omitempty"`
	// token is the highest token ordered: the store refuses lower ones. A decimal number of 64 bits.
	// +optional
	Token string `json:"token,omitempty"`
	// state is Open or Closed.
	// +optional
	State StoreState `json:"state,omitempty"`
	// switchover is the one that moves the store now.
	// +optional
	Switchover string `json:"switchover,omitempty"`
	// twoWritersPossible names the last switchover that broke the glass here: from then on, until somebody has compared
	// both sides, the store may have had two writers.
	// +optional
	TwoWritersPossible string `json:"twoWritersPossible,omitempty"`
}

// StoreList is a list of Stores.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type StoreList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Store `json:"items"`
}
