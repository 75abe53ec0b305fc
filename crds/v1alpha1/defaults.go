package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What an operator gets who says nothing.
const (
	DefaultPermit         = 5 * time.Second
	DefaultWebhookTimeout = 2 * time.Second
)

// Default fills what an operator may leave out. It is pure, and does nothing the second time.
func Default(object Object) {
	switch object := object.(type) {
	case *Center:
		DefaultCenter(object)
	case *Cluster:
		DefaultCluster(object)
	case *ServicePolicy:
		DefaultServicePolicy(object)
	case *Store:
		DefaultStore(object)
	case *Unitization:
		DefaultUnitization(object)
	case *Switchover:
		DefaultSwitchover(object)
	case *Estate:
		DefaultEstate(object)
	}
}

// DefaultCenter makes a center Full and Open.
func DefaultCenter(center *Center) {
	if center.Spec.Role == "" {
		center.Spec.Role = CenterFull
	}
	center.Spec = center.Spec.declared()
}

// DefaultCluster makes a cluster one of VMs. How long it is kept when it is silent stays unsaid.
func DefaultCluster(cluster *Cluster) {
	if cluster.Spec.Type == "" {
		cluster.Spec.Type = ClusterVM
	}
}

// DefaultServicePolicy changes nothing: an absent failover or timeout is a choice, and stays visible as one.
func DefaultServicePolicy(*ServicePolicy) {}

// DefaultStore makes a store replicate asynchronously, which promises less, and bounds its webhooks.
func DefaultStore(store *Store) {
	if store.Spec.Replication == "" {
		store.Spec.Replication = ReplicationAsynchronous
	}
	for i := range store.Spec.Members {
		if webhook := store.Spec.Members[i].Webhook; webhook != nil && webhook.Timeout == nil {
			webhook.Timeout = &metav1.Duration{Duration: DefaultWebhookTimeout}
		}
	}
}

// DefaultUnitization makes units and services Sharded, and has units stop when their permits, of 5 s, end.
func DefaultUnitization(unitization *Unitization) {
	spec := &unitization.Spec
	for i := range spec.Units {
		if spec.Units[i].Type == "" {
			spec.Units[i].Type = UnitSharded
		}
	}
	for i := range spec.Services {
		if spec.Services[i].Type == "" {
			spec.Services[i].Type = UnitSharded
		}
	}
	if spec.Isolation == "" {
		spec.Isolation = IsolationStop
	}
	if spec.Permit.Duration == nil {
		spec.Permit.Duration = &metav1.Duration{Duration: DefaultPermit}
	}
}

// DefaultSwitchover changes nothing: what moves, and in which mode, is always said.
func DefaultSwitchover(*Switchover) {}
