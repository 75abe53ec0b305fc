package v1alpha1

import (
	"fmt"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	// EstateName is the name of the only Estate.
	EstateName = "estate"
	// DefaultMaxPercent is how many of the clusters may be withdrawn at once where nobody says otherwise.
	DefaultMaxPercent = 50
)

// ConditionWithdrawalsHeld is the type of an Estate's condition that is True while clusters would be withdrawn and are
// not, because withdrawals are stopped or would be too many.
const ConditionWithdrawalsHeld = "WithdrawalsHeld"

// Reasons of ConditionWithdrawalsHeld.
const (
	// ReasonStopped: spec.withdrawals.stopped.
	ReasonStopped = "Stopped"
	// ReasonTooMany: more than spec.withdrawals.maxClusters or maxPercent would be withdrawn at once.
	ReasonTooMany = "TooMany"
	// ReasonNothingHeld: nothing waits to be withdrawn.
	ReasonNothingHeld = "NothingHeld"
)

// Estate is what holds for all clusters together. There is at most one, named "estate"; without one the defaults hold.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type Estate struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what the operator declares.
	// +optional
	Spec EstateSpec `json:"spec,omitempty"`
	// status is written by Pentad alone.
	// +optional
	Status EstateStatus `json:"status,omitempty"`
}

// EstateSpec is the declared part of an Estate.
type EstateSpec struct {
	// withdrawals bounds how much of the catalog may go because clusters are not heard of.
	// +optional
	Withdrawals Withdrawals `json:"withdrawals,omitempty"`
}

// Withdrawals says whether, and how many, clusters that nobody has heard of for their onSilence.keepFor are withdrawn.
type Withdrawals struct {
	// stopped keeps everything that has not been withdrawn yet, however long its cluster is silent. Clusters that are
	// withdrawn already come back when they are heard of again, as always.
	// +optional
	Stopped bool `json:"stopped,omitempty"`
	// maxClusters is how many clusters may be withdrawn at once. When more would be, none of those that are not withdrawn
	// yet is. Absent: maxPercent alone says.
	// +optional
	MaxClusters *int32 `json:"maxClusters,omitempty"`
	// maxPercent is how many of the declared clusters may be withdrawn at once, rounded down; when more would be, none of
	// those that are not withdrawn yet is. The lower of both bounds holds.
	// +optional
	// +default=50
	MaxPercent *int32 `json:"maxPercent,omitempty"`
}

// EstateStatus is the observed part of an Estate.
type EstateStatus struct {
	// observedGeneration is the generation that this status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions has WithdrawalsHeld, from when withdrawals were first held back.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// EstateList is a list of Estates.
//
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
type EstateList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Estate `json:"items"`
}

// Bound is how many of so many declared clusters may be withdrawn at once, and the field that says so with its value.
func (w Withdrawals) Bound(clusters int) (most int, because string) {
	percent := DefaultMaxPercent
	if w.MaxPercent != nil {
		percent = int(*w.MaxPercent)
	}
	most = clusters * percent / 100
	because = fmt.Sprintf("spec.withdrawals.maxPercent %d of %d clusters", percent, clusters)
	if w.MaxClusters != nil && int(*w.MaxClusters) < most {
		return int(*w.MaxClusters), fmt.Sprintf("spec.withdrawals.maxClusters %d", *w.MaxClusters)
	}
	return most, because
}

// DefaultEstate lets half of the clusters be withdrawn at once.
func DefaultEstate(estate *Estate) {
	if estate.Spec.Withdrawals.MaxPercent == nil {
		percent := int32(DefaultMaxPercent)
		estate.Spec.Withdrawals.MaxPercent = &percent
	}
}

// ValidateEstate validates an Estate.
func ValidateEstate(estate *Estate) field.ErrorList {
	errs := validateMeta(estate, apivalidation.NameIsDNSLabel)
	if estate.Name != EstateName {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), estate.Name,
			fmt.Sprintf("must be %q: there is one Estate", EstateName)))
	}
	path := field.NewPath("spec", "withdrawals")
	const stop = "to withdraw nothing, set stopped"
	if most := estate.Spec.Withdrawals.MaxClusters; most != nil && *most < 1 {
		errs = append(errs, field.Invalid(path.Child("maxClusters"), *most, "must be at least 1; "+stop))
	}
	if percent := estate.Spec.Withdrawals.MaxPercent; percent != nil && (*percent < 1 || *percent > 100) {
		errs = append(errs, field.Invalid(path.Child("maxPercent"), *percent, "must be 1 to 100; "+stop))
	}
	return errs
}
