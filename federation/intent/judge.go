package intent

import (
	"k8s.io/apimachinery/pkg/util/validation/field"

	"pentad.dev/pentad/crds/v1alpha1"
)

// judge decodes and checks a value that is to become an object (without revisions yet). Current is what it replaces,
// nil for a creation. It is everything that the API server checked, again, and what the API server itself must not
// do.
func (f *FSM) judge(s *state, kind, name string, value []byte, current *Object) (*Object, field.ErrorList) {
	object := &Object{Kind: kind, Name: name, Value: value}
	if f.unchecked(kind) {
		return object, nil
	}
	typed, errs := decodeValue(kind, value)
	if len(errs) > 0 {
		return nil, errs
	}
	object.decoded = typed
	if errs = validateIdentity(typed, kind, name); len(errs) > 0 {
		return nil, errs
	}
	var old v1alpha1.Object
	if current != nil {
		old = current.decoded
	}
	if !f.config.broken.has(brokenOwnedFields) {
		if old == nil {
			errs = append(errs, validateOwnedAtCreate(typed)...)
		} else {
			errs = append(errs, validateOwnedAtUpdate(typed, old)...)
		}
		if ownsStatus(kind) {
			if !f.config.broken.has(brokenOwnedStatus) {
				errs = append(errs, validateStatusKept(typed, old)...)
			}
		} else if !beginsDeletion(typed, old) || !v1alpha1.StatusEqual(typed, old) {
			errs = append(errs, v1alpha1.ValidateStatus(typed, s.objects)...)
		}
	}
	errs = append(errs, v1alpha1.Validate(typed)...)
	if old != nil {
		errs = append(errs, v1alpha1.ValidateUpdate(typed, old)...)
	}
	if !f.config.broken.has(brokenReferences) {
		errs = append(errs, v1alpha1.ValidateReferences(typed, old, s.objects)...)
	}
	return object, errs
}

// judgeDelete checks that nothing needs an object any more.
func (f *FSM) judgeDelete(s *state, current *Object) field.ErrorList {
	if current.decoded == nil || f.config.broken.has(brokenReferences) {
		return nil
	}
	return v1alpha1.ValidateDelete(current.decoded, s.objects)
}
