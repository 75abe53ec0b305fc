package v1alpha1

import (
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// The kinds of the group.
const (
	KindCenter        = "Center"
	KindCluster       = "Cluster"
	KindServicePolicy = "ServicePolicy"
	KindStore         = "Store"
	KindUnitization   = "Unitization"
	KindSwitchover    = "Switchover"
	KindEstate        = "Estate"
)

// Object is a pointer to any kind of the group.
//
// +k8s:deepcopy-gen=false
// +k8s:openapi-gen=false
type Object interface {
	runtime.Object
	metav1.Object
}

// Kinds are all kinds. A kind comes after those that it refers to.
func Kinds() []string {
	return []string{KindCenter, KindCluster, KindServicePolicy, KindStore, KindUnitization, KindSwitchover, KindEstate}
}

// New makes an empty object of a kind; nil when there is no such kind.
func New(kind string) Object {
	switch kind {
	case KindCenter:
		return &Center{}
	case KindCluster:
		return &Cluster{}
	case KindServicePolicy:
		return &ServicePolicy{}
	case KindStore:
		return &Store{}
	case KindUnitization:
		return &Unitization{}
	case KindSwitchover:
		return &Switchover{}
	case KindEstate:
		return &Estate{}
	}
	return nil
}

// KindOf says an object's kind by its Go type; empty when it is none of the group's.
func KindOf(object Object) string {
	switch object.(type) {
	case *Center:
		return KindCenter
	case *Cluster:
		return KindCluster
	case *ServicePolicy:
		return KindServicePolicy
	case *Store:
		return KindStore
	case *Unitization:
		return KindUnitization
	case *Switchover:
		return KindSwitchover
	case *Estate:
		return KindEstate
	}
	return ""
}

// SpecEqual says whether two objects of one kind declare the same. An empty list is equal to none.
func SpecEqual(a, b Object) bool {
	switch a := a.(type) {
	case *Center:
		b, ok := b.(*Center)
		return ok && a.Spec.declared() == b.Spec.declared()
	case *Cluster:
		b, ok := b.(*Cluster)
		return ok && apiequality.Semantic.DeepEqual(a.Spec, b.Spec)
	case *ServicePolicy:
		b, ok := b.(*ServicePolicy)
		return ok && apiequality.Semantic.DeepEqual(a.Spec, b.Spec)
	case *Store:
		b, ok := b.(*Store)
		return ok && apiequality.Semantic.DeepEqual(a.Spec, b.Spec)
	case *Unitization:
		b, ok := b.(*Unitization)
		return ok && apiequality.Semantic.DeepEqual(a.Spec, b.Spec)
	case *Switchover:
		b, ok := b.(*Switchover)
		return ok && apiequality.Semantic.DeepEqual(a.Spec, b.Spec)
	case *Estate:
		b, ok := b.(*Estate)
		return ok && apiequality.Semantic.DeepEqual(a.Spec, b.Spec)
	}
	return false
}

// CopySpec sets to.spec to a copy of from.spec. Both are of one kind, or nothing happens.
func CopySpec(to, from Object) {
	switch to := to.(type) {
	case *Center:
		if from, ok := from.(*Center); ok {
			to.Spec = from.Spec
		}
	case *Cluster:
		if from, ok := from.(*Cluster); ok {
			from.Spec.DeepCopyInto(&to.Spec)
		}
	case *ServicePolicy:
		if from, ok := from.(*ServicePolicy); ok {
			from.Spec.DeepCopyInto(&to.Spec)
		}
	case *Store:
		if from, ok := from.(*Store); ok {
			from.Spec.DeepCopyInto(&to.Spec)
		}
	case *Unitization:
		if from, ok := from.(*Unitization); ok {
			from.Spec.DeepCopyInto(&to.Spec)
		}
	case *Switchover:
		if from, ok := from.(*Switchover); ok {
			from.Spec.DeepCopyInto(&to.Spec)
		}
	case *Estate:
		if from, ok := from.(*Estate); ok {
			from.Spec.DeepCopyInto(&to.Spec)
		}
	}
}

// CopyStatus sets to.status to a copy of from.status. Both are of one kind, or nothing happens.
func CopyStatus(to, from Object) {
	switch to := to.(type) {
	case *Center:
		if from, ok := from.(*Center); ok {
			to.Status = from.Status
		}
	case *Cluster:
		if from, ok := from.(*Cluster); ok {
			from.Status.DeepCopyInto(&to.Status)
		}
	case *ServicePolicy:
		if from, ok := from.(*ServicePolicy); ok {
			to.Status = from.Status
		}
	case *Store:
		if from, ok := from.(*Store); ok {
			to.Status = from.Status
		}
	case *Unitization:
		if from, ok := from.(*Unitization); ok {
			from.Status.DeepCopyInto(&to.Status)
		}
	case *Switchover:
		if from, ok := from.(*Switchover); ok {
			from.Status.DeepCopyInto(&to.Status)
		}
	case *Estate:
		if from, ok := from.(*Estate); ok {
			from.Status.DeepCopyInto(&to.Status)
		}
	}
}

// StatusEqual says whether two objects of one kind have the same status.
func StatusEqual(a, b Object) bool {
	switch a := a.(type) {
	case *Center:
		b, ok := b.(*Center)
		return ok && a.Status == b.Status
	case *Cluster:
		b, ok := b.(*Cluster)
		return ok && apiequality.Semantic.DeepEqual(a.Status, b.Status)
	case *ServicePolicy:
		b, ok := b.(*ServicePolicy)
		return ok && a.Status == b.Status
	case *Store:
		b, ok := b.(*Store)
		return ok && a.Status == b.Status
	case *Unitization:
		b, ok := b.(*Unitization)
		return ok && apiequality.Semantic.DeepEqual(a.Status, b.Status)
	case *Switchover:
		b, ok := b.(*Switchover)
		return ok && apiequality.Semantic.DeepEqual(a.Status, b.Status)
	case *Estate:
		b, ok := b.(*Estate)
		return ok && apiequality.Semantic.DeepEqual(a.Status, b.Status)
	}
	return false
}
