package registry

import (
	"context"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/storage/names"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"pentad.dev/pentad/crds/v1alpha1"
)

// strategy prepares objects as the state machine demands them: generation and status are functions of the rest, or
// status is as it was where only the state machine can know it.
type strategy struct {
	runtime.ObjectTyper
	names.NameGenerator
	refs references
}

// NamespaceScoped implements the strategies; every kind is of the whole estate.
func (strategy) NamespaceScoped() bool { return false }

// AllowCreateOnUpdate implements rest.RESTUpdateStrategy.
func (strategy) AllowCreateOnUpdate(context.Context) bool { return false }

// AllowUnconditionalUpdate implements rest.RESTUpdateStrategy.
func (strategy) AllowUnconditionalUpdate(context.Context) bool { return true }

// Canonicalize implements the strategies.
func (strategy) Canonicalize(runtime.Object) {}

// PrepareForCreate implements rest.RESTCreateStrategy. A given status is ignored, as in Kubernetes.
func (s strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	object := obj.(v1alpha1.Object)
	object.SetGeneration(1)
	if !s.refs.planted.StatusFromCaller {
		v1alpha1.CopyStatus(object, v1alpha1.New(v1alpha1.KindOf(object)))
	}
	v1alpha1.DeriveStatus(object, s.refs.lookup())
}

// PrepareForUpdate implements rest.RESTUpdateStrategy. A given status is ignored, as in Kubernetes.
func (s strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	object, was := obj.(v1alpha1.Object), old.(v1alpha1.Object)
	generation := was.GetGeneration()
	if !v1alpha1.SpecEqual(object, was) {
		generation++
	}
	object.SetGeneration(generation)
	if !s.refs.planted.StatusFromCaller {
		v1alpha1.CopyStatus(object, was)
	}
	v1alpha1.DeriveStatus(object, s.refs.lookup())
}

// Validate implements rest.RESTCreateStrategy.
func (s strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	object := obj.(v1alpha1.Object)
	errs := v1alpha1.Validate(object)
	return append(errs, s.refs.refusals(object, nil)...)
}

// ValidateUpdate implements rest.RESTUpdateStrategy. The generic code has validated metadata already.
func (s strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	object, was := obj.(v1alpha1.Object), old.(v1alpha1.Object)
	var errs field.ErrorList
	for _, err := range v1alpha1.Validate(object) {
		if !strings.HasPrefix(err.Field, "metadata.") {
			errs = append(errs, err)
		}
	}
	errs = append(errs, v1alpha1.ValidateUpdate(object, was)...)
	return append(errs, s.refs.refusals(object, was)...)
}

// WarningsOnCreate implements rest.RESTCreateStrategy.
func (strategy) WarningsOnCreate(context.Context, runtime.Object) []string { return nil }

// WarningsOnUpdate implements rest.RESTUpdateStrategy.
func (strategy) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}

// GetResetFields tells server-side apply that nobody owns status here.
func (strategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return map[fieldpath.APIVersion]*fieldpath.Set{
		fieldpath.APIVersion(v1alpha1.GroupVersion.String()): fieldpath.NewSet(fieldpath.MakePathOrDie("status")),
	}
}
