package intent

import (
	"fmt"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"pentad.dev/pentad/crds/v1alpha1"
)

// validateIdentity finds where an object is not the one that its command names.
func validateIdentity(object v1alpha1.Object, kind, name string) field.ErrorList {
	var errs field.ErrorList
	metadata := field.NewPath("metadata")
	group := object.GetObjectKind().GroupVersionKind()
	errs = append(errs, mustBe(field.NewPath("apiVersion"), group.GroupVersion().String(),
		v1alpha1.GroupVersion.String())...)
	errs = append(errs, mustBe(field.NewPath("kind"), group.Kind, kind)...)
	errs = append(errs, mustBe(metadata.Child("name"), object.GetName(), name)...)
	return append(errs, mustBe(metadata.Child("namespace"), object.GetNamespace(), "")...)
}

// validateOwnedAtCreate finds fields of a new object that are not what the API server must set.
func validateOwnedAtCreate(object v1alpha1.Object) field.ErrorList {
	metadata := field.NewPath("metadata")
	errs := validateNeverStored(object)
	if id, err := uuid.Parse(string(object.GetUID())); err != nil || id.String() != string(object.GetUID()) {
		errs = append(errs, field.Invalid(metadata.Child("uid"), string(object.GetUID()),
			"must be a UUID, set by the API server"))
	}
	errs = append(errs, mustBe(metadata.Child("generation"), object.GetGeneration(), 1)...)
	if created := object.GetCreationTimestamp(); created.IsZero() {
		errs = append(errs, field.Required(metadata.Child("creationTimestamp"), "must be set by the API server"))
	}
	if at := object.GetDeletionTimestamp(); at != nil {
		errs = append(errs, field.Invalid(metadata.Child("deletionTimestamp"), at,
			"must not be set: the object is being created"))
	}
	if seconds := object.GetDeletionGracePeriodSeconds(); seconds != nil {
		errs = append(errs, field.Invalid(metadata.Child("deletionGracePeriodSeconds"), *seconds,
			"must not be set: the object is being created"))
	}
	return errs
}

// validateOwnedAtUpdate finds fields that only the system may change, or must change.
func validateOwnedAtUpdate(object, old v1alpha1.Object) field.ErrorList {
	metadata := field.NewPath("metadata")
	errs := validateNeverStored(object)
	errs = append(errs, mustBe(metadata.Child("uid"), string(object.GetUID()), string(old.GetUID()))...)
	created, was := object.GetCreationTimestamp(), old.GetCreationTimestamp()
	if !created.Equal(&was) {
		errs = append(errs, field.Invalid(metadata.Child("creationTimestamp"), created,
			fmt.Sprintf("must stay %s", was.UTC().Format(timeFormat))))
	}
	want, why := old.GetGeneration(), "the spec is the same"
	if !v1alpha1.SpecEqual(object, old) {
		want, why = want+1, "the spec is another"
	} else if beginsDeletion(object, old) {
		want, why = want+1, "the deletion begins"
	}
	if object.GetGeneration() != want {
		errs = append(errs, field.Invalid(metadata.Child("generation"), object.GetGeneration(),
			fmt.Sprintf("must be %d: %s", want, why)))
	}
	return append(errs, validateDeletion(object, old)...)
}

// validateNeverStored finds fields that are never part of a stored object.
func validateNeverStored(object v1alpha1.Object) field.ErrorList {
	metadata := field.NewPath("metadata")
	errs := mustBe(metadata.Child("resourceVersion"), object.GetResourceVersion(), "")
	return append(errs, mustBe(metadata.Child("selfLink"), object.GetSelfLink(), "")...)
}

// beginsDeletion says whether an update is the API server's mark that the object goes once its finalizers are gone.
func beginsDeletion(object, old v1alpha1.Object) bool {
	return old != nil && object.GetDeletionTimestamp() != nil && old.GetDeletionTimestamp() == nil
}

// validateDeletion lets a deletion begin once, for an object with finalizers, and never be taken back.
func validateDeletion(object, old v1alpha1.Object) field.ErrorList {
	metadata := field.NewPath("metadata")
	at, was := object.GetDeletionTimestamp(), old.GetDeletionTimestamp()
	if beginsDeletion(object, old) {
		if len(object.GetFinalizers()) == 0 {
			return field.ErrorList{field.Invalid(metadata.Child("deletionTimestamp"), at,
				"must not be set on an object without finalizers: delete it")}
		}
		return nil
	}
	var errs field.ErrorList
	if !at.Equal(was) {
		errs = append(errs, field.Invalid(metadata.Child("deletionTimestamp"), at, "must stay "+show(was)))
	}
	seconds, before := object.GetDeletionGracePeriodSeconds(), old.GetDeletionGracePeriodSeconds()
	if (seconds == nil) != (before == nil) || seconds != nil && *seconds != *before {
		errs = append(errs, field.Invalid(metadata.Child("deletionGracePeriodSeconds"), seconds,
			"is set with deletionTimestamp by the API server, and must stay"))
	}
	return errs
}

// validateStatusKept finds where a status that only the state machine writes is not as it was: empty in a creation, old
// as stored in an update (rule 9). Old is nil for a creation.
func validateStatusKept(object, old v1alpha1.Object) field.ErrorList {
	was := v1alpha1.New(v1alpha1.KindOf(object))
	if old != nil {
		was = old
	}
	if v1alpha1.StatusEqual(object, was) {
		return nil
	}
	path, now, want := difference(field.NewPath("status"), statusTree(object), statusTree(was))
	message := "must not be set"
	if want != nil {
		message = "must stay " + jsonOf(want)
	}
	return field.ErrorList{field.Invalid(path, now, message+": status is written by Pentad alone")}
}

const timeFormat = "2006-01-02T15:04:05Z"

func show(at *metav1.Time) string {
	if at == nil {
		return "unset"
	}
	return at.UTC().Format(timeFormat)
}

func mustBe[T comparable](path *field.Path, value, want T) field.ErrorList {
	if value == want {
		return nil
	}
	var zero T
	if want == zero {
		return field.ErrorList{field.Invalid(path, value, "must not be set")}
	}
	message := fmt.Sprintf("must be %v", want)
	if s, ok := any(want).(string); ok {
		message = fmt.Sprintf("must be %q", s)
	}
	return field.ErrorList{field.Invalid(path, value, message)}
}
