package server

import (
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"pentad.dev/pentad/client"
	"pentad.dev/pentad/crds/v1alpha1"
)

// These do what the API wants of who declares: whether a write was done may be unknown, because a leader was lost or a disk
// took too long, and then the object is read before the write is repeated. Somebody else may have written meanwhile.

// create creates an object, and returns it as it is then.
func create[T v1alpha1.Object, L runtime.Object](t *testing.T, r client.Resource[T, L], object T) T {
	t.Helper()
	made, err := r.Create(t.Context(), object, createOptions)
	for unknown := false; errors.Is(err, client.ErrOutcomeUnknown) || unknown && apierrors.IsAlreadyExists(err); {
		unknown = true
		if made, err = r.Get(t.Context(), object.GetName(), metav1.GetOptions{}); apierrors.IsNotFound(err) {
			made, err = r.Create(t.Context(), object, createOptions)
		}
	}
	check(t, err)
	return made
}

// drop deletes an object.
func drop[T v1alpha1.Object, L runtime.Object](t *testing.T, r client.Resource[T, L], name string) {
	t.Helper()
	err := r.Delete(t.Context(), name, metav1.DeleteOptions{})
	for errors.Is(err, client.ErrOutcomeUnknown) {
		if err = r.Delete(t.Context(), name, metav1.DeleteOptions{}); apierrors.IsNotFound(err) {
			return
		}
	}
	check(t, err)
}

// change changes an object as it is now.
func change[T v1alpha1.Object, L runtime.Object](t *testing.T, r client.Resource[T, L], name string, edit func(T)) T {
	t.Helper()
	for {
		object, err := r.Get(t.Context(), name, metav1.GetOptions{})
		check(t, err)
		edit(object)
		object, err = r.Update(t.Context(), object, metav1.UpdateOptions{})
		if apierrors.IsConflict(err) || errors.Is(err, client.ErrOutcomeUnknown) {
			continue
		}
		check(t, err)
		return object
	}
}
