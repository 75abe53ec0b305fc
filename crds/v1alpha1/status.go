package v1alpha1

import (
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// DeriveStatus sets the object's status to the only one that it may have, which follows from the object and from what
// it refers to. A reference to nothing leaves the field empty. The status of a Store, a Unitization, a Switchover and an
// Estate follows from what happened, which the state machine alone knows: it is left as it is.
func DeriveStatus(object Object, lookup Lookup) {
	switch object := object.(type) {
	case *Center:
		object.Status = centerStatus(object)
	case *Cluster:
		object.Status = clusterStatus(object, lookup)
	case *ServicePolicy:
		object.Status = servicePolicyStatus(object)
	}
}

// ValidateStatus finds where an object's status is not what DeriveStatus gives. It has nothing to say of the kinds
// whose status DeriveStatus leaves alone.
func ValidateStatus(object Object, lookup Lookup) field.ErrorList {
	path := field.NewPath("status")
	var errs field.ErrorList
	generation := func(got, want int64) {
		if got != want {
			errs = append(errs, field.Invalid(path.Child("observedGeneration"), got,
				"must be the object's generation: status is written by Pentad alone"))
		}
	}
	switch object := object.(type) {
	case *Center:
		generation(object.Status.ObservedGeneration, centerStatus(object).ObservedGeneration)
	case *Cluster:
		want := clusterStatus(object, lookup)
		generation(object.Status.ObservedGeneration, want.ObservedGeneration)
		if object.Status.Region != want.Region {
			errs = append(errs, field.Invalid(path.Child("region"), object.Status.Region,
				"must be "+quote(want.Region)+", the region of spec.center: status is written by Pentad alone"))
		}
		if !apiequality.Semantic.DeepEqual(object.Status.Conditions, want.Conditions) {
			errs = append(errs, field.Invalid(path.Child("conditions"), asJSON(object.Status.Conditions),
				"must be "+asJSON(want.Conditions)+": status is written by Pentad alone"))
		}
	case *ServicePolicy:
		generation(object.Status.ObservedGeneration, servicePolicyStatus(object).ObservedGeneration)
	}
	return errs
}

func centerStatus(center *Center) CenterStatus {
	return CenterStatus{ObservedGeneration: center.Generation}
}

func clusterStatus(cluster *Cluster, lookup Lookup) ClusterStatus {
	status := ClusterStatus{ObservedGeneration: cluster.Generation}
	if center, ok := lookup.Center(cluster.Spec.Center); ok {
		status.Region = center.Spec.Region
	}
	if expiry, ok := lookup.Expiry(cluster.Name); ok {
		status.Conditions = []metav1.Condition{expiry.condition()}
	}
	return status
}

func servicePolicyStatus(policy *ServicePolicy) ServicePolicyStatus {
	return ServicePolicyStatus{ObservedGeneration: policy.Generation}
}
