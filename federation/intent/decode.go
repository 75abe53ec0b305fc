package intent

import (
	"encoding/json"
	"errors"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"pentad.dev/pentad/crds/v1alpha1"
)

// decodeValue decodes an object's JSON strictly: unknown and repeated fields are mistakes, as what is stored but not
// understood would be lost by the next writer.
func decodeValue(kind string, value []byte) (v1alpha1.Object, field.ErrorList) {
	object := v1alpha1.New(kind)
	if object == nil {
		return nil, field.ErrorList{field.NotSupported(field.NewPath("kind"), kind, v1alpha1.Kinds())}
	}
	strict, err := kjson.UnmarshalStrict(value, object, kjson.DisallowDuplicateFields, kjson.DisallowUnknownFields)
	if err != nil {
		return nil, field.ErrorList{decodeError(value, err)}
	}
	var errs field.ErrorList
	for _, err := range strict {
		errs = append(errs, strictError(value, err))
	}
	return object, errs
}

// decodeError is for a value that is not JSON, or whose field has another type.
func decodeError(value []byte, err error) *field.Error {
	var mistyped *json.UnmarshalTypeError
	if errors.As(err, &mistyped) && mistyped.Field != "" {
		return &field.Error{
			Type: field.ErrorTypeTypeInvalid, Field: mistyped.Field, BadValue: valueAt(value, mistyped.Field),
			Detail: "must be of type " + mistyped.Type.String(),
		}
	}
	return &field.Error{
		Type: field.ErrorTypeInvalid, Field: "$", BadValue: clip(string(value)),
		Detail: "must be a JSON object of the kind: " + err.Error(),
	}
}

func strictError(value []byte, err error) *field.Error {
	path := "$"
	if located, ok := err.(kjson.FieldError); ok && located.FieldPath() != "" {
		path = located.FieldPath()
	}
	return &field.Error{
		Type: field.ErrorTypeInvalid, Field: path, BadValue: valueAt(value, path),
		Detail: "must be a field of the kind, given once: " + err.Error(),
	}
}

// valueAt finds what the JSON has at a path, as spec.failover[0].scope, as far as it can.
func valueAt(value []byte, path string) any {
	var at any
	if kjson.UnmarshalCaseSensitivePreserveInts(value, &at) != nil {
		return field.OmitValueType{}
	}
	for _, name := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		next, ok := child(at, name)
		if !ok {
			return field.OmitValueType{}
		}
		at = next
	}
	return at
}

func child(at any, name string) (any, bool) {
	switch at := at.(type) {
	case map[string]any:
		next, ok := at[name]
		return next, ok
	case []any:
		var i int
		if json.Unmarshal([]byte(name), &i) != nil || i < 0 || i >= len(at) {
			return nil, false
		}
		return at[i], true
	}
	return nil, false
}
