package registry

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const setByPentad = "must not be set: Pentad sets it when it creates the object"

// ValidateOwnedAtCreate finds fields of a new object that only Pentad sets. The generic code would overwrite some in
// silence, and their author would believe that they count.
func ValidateOwnedAtCreate(object metav1.Object) field.ErrorList {
	metadata := field.NewPath("metadata")
	var errs field.ErrorList
	if uid := object.GetUID(); uid != "" {
		errs = append(errs, field.Invalid(metadata.Child("uid"), string(uid), setByPentad))
	}
	if version := object.GetResourceVersion(); version != "" {
		errs = append(errs, field.Invalid(metadata.Child("resourceVersion"), version, setByPentad))
	}
	if generation := object.GetGeneration(); generation != 0 {
		errs = append(errs, field.Invalid(metadata.Child("generation"), generation, setByPentad))
	}
	return errs
}

// validateOwnedAtUpdate finds a generation that is not the object's. Who writes from an older object has lost a race,
// which the generic code says better.
func validateOwnedAtUpdate(object, old metav1.Object) field.ErrorList {
	if version := object.GetResourceVersion(); version != "" && version != old.GetResourceVersion() {
		return nil
	}
	generation, is := object.GetGeneration(), old.GetGeneration()
	if generation == 0 || generation == is {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("metadata", "generation"), generation,
		fmt.Sprintf("must be %d or absent: Pentad alone counts it", is))}
}
