package process

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"sigs.k8s.io/json"
)

// blame is the field that a document does not decode for, when the error does not name it: types that decode themselves,
// durations for one, are not told where they stand. Each field is tried alone.
func blame(text []byte, config any, err error) (field string) {
	var typed *stdjson.UnmarshalTypeError
	var document any
	if err == nil || errors.As(err, &typed) || stdjson.Unmarshal(text, &document) != nil {
		return ""
	}
	decodes := func(document any) bool {
		alone, err := stdjson.Marshal(document)
		return err != nil || json.UnmarshalCaseSensitivePreserveInts(alone, reflect.New(reflect.TypeOf(config).Elem()).Interface()) == nil
	}
	return deepest("", document, decodes)
}

// wants says what a value must be, in the words of who writes a file.
func wants(kind reflect.Kind) string {
	switch kind {
	case reflect.String:
		return `a string (in quotes, if it looks like something else)`
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct, reflect.Pointer:
		return "a group of fields"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "a whole number"
}

// deepest is the path of the innermost value that does not decode, in is the document with it alone.
func deepest(path string, value any, decodes func(any) bool) string {
	try := func(step string, part any, in func(any) any) string {
		if decodes(in(part)) {
			return ""
		}
		return deepest(step, part, func(v any) bool { return decodes(in(v)) })
	}
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			step := key
			if path != "" {
				step = path + "." + key
			}
			if at := try(step, v[key], func(part any) any { return map[string]any{key: part} }); at != "" {
				return at
			}
		}
	case []any:
		for i, part := range v {
			if at := try(fmt.Sprintf("%s[%d]", path, i), part, func(part any) any { return []any{part} }); at != "" {
				return at
			}
		}
	}
	return path
}
