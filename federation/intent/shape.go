package intent

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"pentad.dev/pentad/crds/v1alpha1"
)

// shape is how plain JSON becomes a value of a Go type; nil: only the library knows how.
type shape struct {
	form form
	// as is the type itself.
	as reflect.Type
	// elem is what a pointer, a slice or a map is of.
	elem *shape
	// members are a struct's fields by their JSON names.
	members map[string]*member
}

// form is what a value looks like in JSON.
type form uint8

const (
	aString form = iota + 1
	aBool
	anInt
	aPointer
	aSlice
	aMap
	aStruct
	// itsOwn has UnmarshalJSON.
	itsOwn
)

// member is a field of a struct, or of a struct that is embedded in it.
type member struct {
	path  []int
	bit   uint64 // by which a repetition is found
	shape *shape
}

// kindShapes are those of all kinds.
var kindShapes = func() map[string]*shape {
	all := map[string]*shape{}
	for _, kind := range v1alpha1.Kinds() {
		all[kind] = shapeOf(reflect.TypeOf(v1alpha1.New(kind)).Elem(), nil)
	}
	return all
}()

var (
	unmarshaler     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// shapeOf looks at a type that is found within the types above.
func shapeOf(t reflect.Type, above []reflect.Type) *shape {
	if slices.Contains(above, t) {
		return nil
	}
	above = append(above[:len(above):len(above)], t)
	switch pointer := reflect.PointerTo(t); {
	case t.Kind() != reflect.Pointer && pointer.Implements(unmarshaler):
		if t.Name() == "" {
			return nil
		}
		return &shape{form: itsOwn, as: t}
	case pointer.Implements(textUnmarshaler):
		return nil
	}
	s := &shape{as: t}
	switch t.Kind() {
	case reflect.String:
		s.form = aString
	case reflect.Bool:
		s.form = aBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		s.form = anInt
	case reflect.Pointer:
		s.form, s.elem = aPointer, shapeOf(t.Elem(), above)
	case reflect.Slice:
		s.form, s.elem = aSlice, shapeOf(t.Elem(), above) // bytes, which are text in JSON, have no shape
	case reflect.Map:
		if t.Key() != reflect.TypeFor[string]() {
			return nil
		}
		s.form, s.elem = aMap, shapeOf(t.Elem(), above)
	case reflect.Struct:
		s.form, s.members = aStruct, map[string]*member{}
		if !s.embrace(t, nil, above) {
			return nil
		}
	default:
		return nil
	}
	if s.elem == nil && (s.form == aPointer || s.form == aSlice || s.form == aMap) {
		return nil
	}
	return s
}

// embrace adds the fields of a struct, of what is embedded too; false where one rule or another of the library about
// names would have to be known.
func (s *shape) embrace(t reflect.Type, path []int, above []reflect.Type) bool {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		at := append(path[:len(path):len(path)], i)
		switch {
		case f.Tag.Get("json") == "-" || !f.IsExported() && !f.Anonymous:
			continue
		case strings.Contains(options, "string"):
			return false
		case f.Anonymous && name == "":
			if f.Type.Kind() != reflect.Struct || !s.embrace(f.Type, at, above) {
				return false
			}
			continue
		case !f.IsExported() || name != "" && !alphanumeric(name):
			return false
		case name == "":
			name = f.Name
		}
		if s.members[name] != nil || len(s.members) == 64 {
			return false
		}
		s.members[name] = &member{path: at, bit: 1 << len(s.members), shape: shapeOf(f.Type, above)}
	}
	return true
}

// alphanumeric says that a name is what its tag says: the library takes no notice of names with odd characters.
func alphanumeric(name string) bool {
	return strings.IndexFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	}) < 0
}
