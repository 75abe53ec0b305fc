package intent

import (
	"fmt"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"pentad.dev/pentad/crds/v1alpha1"
)

// Where the fields are that every object has: made once, for each command looks at all of them.
var (
	apiVersionPath  = field.NewPath("apiVersion")
	kindPath        = field.NewPath("kind")
	metadataPath    = field.NewPath("metadata")
	namePath        = metadataPath.Child("name")
	namespacePath   = metadataPath.Child("namespace")
	uidPath         = metadataPath.Child("uid")
	generationPath  = metadataPath.Child("generation")
	createdPath     = metadataPath.Child("creationTimestamp")
	deletedPath     = metadataPath.Child("deletionTimestamp")
	gracePath       = metadataPath.Child("deletionGracePeriodSeconds")
	versionPath     = metadataPath.Child("resourceVersion")
	selfLinkPath    = metadataPath.Child("selfLink")
	theGroupVersion = v1alpha1.GroupVersion.String()
)

// validateIdentity finds where an object is not the one that its command names.
func validateIdentity(object v1alpha1.Object, kind, name string) field.ErrorList {
	var errs field.ErrorList
	t, ok := object.GetObjectKind().(*metav1.TypeMeta)
	if !ok || t.APIVersion != theGroupVersion || t.Kind != kind {
		group := object.GetObjectKind().GroupVersionKind()
		errs = append(errs, mustBe(apiVersionPath, group.GroupVersion().String(), theGroupVersion)...)
		errs = append(errs, mustBe(kindPath, group.Kind, kind)...)
	}
	errs = append(errs, mustBe(namePath, object.GetName(), name)...)
	return append(errs, mustBe(namespacePath, object.GetNamespace(), "")...)
}

// validateOwnedAtCreate finds fields of a new object that are not what the API server must set.
func validateOwnedAtCreate(object v1alpha1.Object) field.ErrorList {
	errs := validateNeverStored(object)
	if id, err := uuid.Parse(string(object.GetUID())); err != nil || id.String() != string(object.GetUID()) {
		errs = append(errs, field.Invalid(uidPath, string(object.GetUID()),
			"must be a UUID, set by the API server"))
	}
	errs = append(errs, mustBe(generationPath, object.GetGeneration(), 1)...)
	if created := object.GetCreationTimestamp(); created.IsZero() {
		errs = append(errs, field.Required(createdPath, "must be set by the API server"))
	}
	if at := object.GetDeletionTimestamp(); at != nil {
		errs = append(errs, field.Invalid(deletedPath, at,
			"must not be set: the object is being created"))
	}
	if seconds := object.GetDeletionGracePeriodSeconds(); seconds != nil {
		errs = append(errs, field.Invalid(gracePath, *seconds,
			"must not be set: the object is being created"))
	}
	return errs
}

// validateOwnedAtUpdate finds fields that only the system may change, or must change.
func validateOwnedAtUpdate(object, old v1alpha1.Object) field.ErrorList {
	errs := validateNeverStored(object)
	errs = append(errs, mustBe(uidPath, string(object.GetUID()), string(old.GetUID()))...)
	created, was := object.GetCreationTimestamp(), old.GetCreationTimestamp()
	if !created.Equal(&was) {
		errs = append(errs, field.Invalid(createdPath, created,
			fmt.Sprintf("must stay %s", was.UTC().Format(timeFormat))))
	}
	want, why := old.GetGeneration(), "the spec is the same"
	if !v1alpha1.SpecEqual(object, old) {
		want, why = want+1, "the spec is another"
	} else if beginsDeletion(object, old) {
		want, why = want+1, "the deletion begins"
	}
	if object.GetGeneration() != want {
		errs = append(errs, field.Invalid(generationPath, object.GetGeneration(),
			fmt.Sprintf("must be %d: %s", want, why)))
	}
	return append(errs, validateDeletion(object, old)...)
}

// validateNeverStored finds fields that are never part of a stored object.
func validateNeverStored(object v1alpha1.Object) field.ErrorList {
	errs := mustBe(versionPath, object.GetResourceVersion(), "")
	return append(errs, mustBe(selfLinkPath, object.GetSelfLink(), "")...)
}

// beginsDeletion says whether an update is the API server's mark that the object goes once its finalizers are gone.
func beginsDeletion(object, old v1alpha1.Object) bool {
	return old != nil && object.GetDeletionTimestamp() != nil && old.GetDeletionTimestamp() == nil
}

// validateDeletion lets a deletion begin once, for an object with finalizers, and never be taken back.
func validateDeletion(object, old v1alpha1.Object) field.ErrorList {
	at, was := object.GetDeletionTimestamp(), old.GetDeletionTimestamp()
	if beginsDeletion(object, old) {
		if len(object.GetFinalizers()) == 0 {
			return field.ErrorList{field.Invalid(deletedPath, at,
				"must not be set on an object without finalizers: delete it")}
		}
		return nil
	}
	var errs field.ErrorList
	if !at.Equal(was) {
		errs = append(errs, field.Invalid(deletedPath, at, "must stay "+show(was)))
	}
	seconds, before := object.GetDeletionGracePeriodSeconds(), old.GetDeletionGracePeriodSeconds()
	if (seconds == nil) != (before == nil) || seconds != nil && *seconds != *before {
		errs = append(errs, field.Invalid(gracePath, seconds,
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
