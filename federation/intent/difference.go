package intent

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"pentad.dev/pentad/crds/v1alpha1"
)

// statusTree is an object's status as a tree of JSON values.
func statusTree(object v1alpha1.Object) any {
	var all struct {
		Status any `json:"status"`
	}
	encoded, err := json.Marshal(object)
	if err == nil {
		err = json.Unmarshal(encoded, &all)
	}
	if err != nil {
		panic(fmt.Sprintf("intent: an object that was decoded cannot be encoded: %v", err))
	}
	return all.Status
}

// difference is the first place below path where two trees differ, with what each has there; nil where there is
// nothing.
func difference(path *field.Path, a, b any) (*field.Path, any, any) {
	switch x := a.(type) {
	case map[string]any:
		y, _ := b.(map[string]any)
		names := map[string]bool{}
		for name := range x {
			names[name] = true
		}
		for name := range y {
			names[name] = true
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			if differ(x[name], y[name]) {
				return difference(path.Child(name), x[name], y[name])
			}
		}
	case []any:
		y, _ := b.([]any)
		for i := range min(len(x), len(y)) {
			if differ(x[i], y[i]) {
				return difference(path.Index(i), x[i], y[i])
			}
		}
	}
	return path, a, b
}

// differ compares by the JSON.
func differ(a, b any) bool { return jsonOf(a) != jsonOf(b) }

func jsonOf(value any) string {
	encoded, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(encoded)
}
