package registry

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"pentad.dev/pentad/crds/v1alpha1"
)

// PermitBound is how long permits must at least be, so that the election of a leader does not end them: else every time
// that a leader is lost, all cells refuse writes. The zero value bounds nothing.
type PermitBound struct {
	Least time.Duration
	// Why is what Least is made of, for people.
	Why string
}

// refusals are against a Unitization whose permits are too short; not against one that was declared before.
func (b PermitBound) refusals(object, old v1alpha1.Object) field.ErrorList {
	declared, ok := object.(*v1alpha1.Unitization)
	if !ok || declared.Spec.Permit.Duration == nil || declared.Spec.Permit.Duration.Duration >= b.Least {
		return nil
	}
	is := declared.Spec.Permit.Duration.Duration
	if was, ok := old.(*v1alpha1.Unitization); ok && was.Spec.Permit.Duration != nil && was.Spec.Permit.Duration.Duration == is {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("spec", "permit", "duration"), is.String(),
		fmt.Sprintf("must be at least %s (%s): else each election of a leader ends all permits", b.Least, b.Why))}
}
