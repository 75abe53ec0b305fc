package vm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"bytes"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// tree is what stands in the file at path: a map, a list, a scalar, or nothing. Reading it is strict, and every
// complaint is added to errs with the path, the value and what would be right, so that a user mends all at once.
type tree struct {
	path  *field.Path
	value any
	errs  *field.ErrorList
}

// decode reads one YAML or JSON document. The error is about the syntax, and names the line.
func decode(data []byte) (any, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var value any
	switch err := decoder.Decode(&value); {
	case errors.Is(err, io.EOF):
		return nil, errors.New("the file is empty: write services: [] for no services")
	case err != nil:
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	var more any
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one document: a registry file is one")
	}
	return value, nil
}

func (t tree) refuse(want string) {
	*t.errs = append(*t.errs, field.Invalid(t.path, show(t.value), want))
}

// show is a value as the message has it: whole if it is short.
func show(value any) any {
	switch value.(type) {
	case string, int, int64, uint64, float64, bool:
		return value
	}
	text, err := json.Marshal(value)
	if err != nil {
		text = fmt.Append(nil, value)
	}
	if len(text) > 60 {
		text = append(text[:60:60], "..."...)
	}
	return string(text)
}

// fields checks that t is a map of known fields, and returns it; false: it is none.
func (t tree) fields(known ...string) (map[string]any, bool) {
	have, ok := t.value.(map[string]any)
	if !ok {
		t.refuse("must be a map with the fields " + strings.Join(known, ", "))
		return nil, false
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if !slices.Contains(known, name) {
			at := t.child(name)
			*t.errs = append(*t.errs, field.Invalid(at.path, show(at.value),
				"unknown field; known are "+strings.Join(known, ", ")))
		}
	}
	return have, true
}

// child is the part of a map at name; its value is nil when there is none.
func (t tree) child(name string) tree {
	have, _ := t.value.(map[string]any)
	path := field.NewPath(name)
	if t.path != nil {
		path = t.path.Child(name)
	}
	return tree{path, have[name], t.errs}
}

// list returns the items of a list, which must be there: a list that is cut off must not read as one that is empty.
func (t tree) list() []tree {
	items, ok := t.value.([]any)
	if !ok {
		if t.value == nil {
			*t.errs = append(*t.errs, field.Required(t.path, "write [] for none"))
		} else {
			t.refuse("must be a list")
		}
		return nil
	}
	trees := make([]tree, len(items))
	for i, item := range items {
		trees[i] = tree{t.path.Index(i), item, t.errs}
	}
	return trees
}

// text returns a string; nothing at all is absent.
func (t tree) text(absent string) string {
	if t.value == nil {
		return absent
	}
	s, ok := t.value.(string)
	if !ok {
		t.refuse("must be a string: put it in quotes")
	}
	return s
}

// name returns a string that must be there and be valid.
func (t tree) name(validate func(*field.Path, string) field.ErrorList) string {
	s := t.text("")
	if _, isText := t.value.(string); isText || t.value == nil {
		*t.errs = append(*t.errs, validate(t.path, s)...)
	}
	return s
}

// number returns a whole number from low to high.
func (t tree) number(low, high, absent int) int {
	if t.value == nil {
		return absent
	}
	n, ok := t.value.(int)
	if !ok || n < low || n > high {
		t.refuse(fmt.Sprintf("must be a whole number from %d to %d", low, high))
		return absent
	}
	return n
}

// duration returns a duration from low to high.
func (t tree) duration(low, high, absent time.Duration) time.Duration {
	if t.value == nil {
		return absent
	}
	s, _ := t.value.(string)
	d, err := time.ParseDuration(s)
	if err != nil || d < low || d > high {
		t.refuse(fmt.Sprintf("must be a duration from %s to %s, like 1s or 500ms", low, high))
		return absent
	}
	return d
}

// choice returns the value of one of the words.
func choice[T any](t tree, absent string, words map[string]T) T {
	word := t.text(absent)
	if value, ok := words[word]; ok {
		return value
	}
	var zero T
	if _, isText := t.value.(string); isText || t.value == nil {
		*t.errs = append(*t.errs, field.NotSupported(t.path, word, slices.Sorted(maps.Keys(words))))
	}
	return zero
}
