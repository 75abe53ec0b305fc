package intent

import (
	"encoding/json"
	"reflect"
	"strconv"

	kjson "sigs.k8s.io/json"

	"pentad.dev/pentad/crds/v1alpha1"
)

// plain decodes what nearly all objects are: JSON as encoders write it, with known fields, each once, and values of
// their types. It takes a quarter of the library's time, which is most of what a command costs on each server. Of
// everything else it says that it does not know, and the library judges: what is refused, and why, and what an odd
// value means, is the library's word alone. What plain does decode, the library would decode to the same.
type plain struct {
	data []byte
	at   int
	// deep is how many brackets are open in a value that is not looked into.
	deep int
	// broken breaks a rule on purpose. Only tests set it.
	broken plainBreakage
}

// plainBreakage is a rule of plain JSON that a test breaks.
type plainBreakage uint8

const (
	// brokenRepeated takes fields that come twice.
	brokenRepeated plainBreakage = iota + 1
	// brokenZeros takes numbers with zeros in front.
	brokenZeros
	// brokenTail takes what follows after the object.
	brokenTail
)

// maxDeep is how deep a value may be that is not looked into.
const maxDeep = 64

// object decodes an object of a kind, or says that it does not know.
func (p *plain) object(kind string) (v1alpha1.Object, bool) {
	shape := kindShapes[kind]
	if shape == nil {
		return nil, false
	}
	object := v1alpha1.New(kind)
	if !p.value(shape, reflect.ValueOf(object).Elem()) {
		return nil, false
	}
	p.space()
	return object, p.at == len(p.data) || p.broken == brokenTail
}

// value decodes the next value. A null, which means another thing to each type, is not plain.
func (p *plain) value(s *shape, v reflect.Value) bool {
	p.space()
	if s == nil {
		return false
	}
	switch s.form {
	case aString:
		text, ok := p.text()
		v.SetString(text)
		return ok
	case aBool:
		truth := p.word("true")
		v.SetBool(truth)
		return truth || p.word("false")
	case anInt:
		return p.integer(v)
	case aPointer:
		v.Set(reflect.New(s.elem.as))
		return p.value(s.elem, v.Elem())
	case aSlice:
		return p.slice(s, v)
	case aMap:
		return p.mapping(s, v)
	case aStruct:
		return p.structure(s, v)
	}
	start := p.at
	if !p.skip() || p.data[start] == 'n' {
		return false
	}
	own, ok := v.Addr().Interface().(json.Unmarshaler)
	return ok && own.UnmarshalJSON(p.data[start:p.at]) == nil
}

func (p *plain) structure(s *shape, v reflect.Value) bool {
	var seen uint64
	return p.members(func(name []byte) bool {
		m := s.members[string(name)]
		if m == nil || seen&m.bit != 0 && p.broken != brokenRepeated {
			return false
		}
		seen |= m.bit
		field := v
		for _, i := range m.path {
			field = field.Field(i)
		}
		return p.value(m.shape, field)
	})
}

func (p *plain) mapping(s *shape, v reflect.Value) bool {
	texts, ok := v.Addr().Interface().(*map[string]string)
	if ok {
		*texts = map[string]string{}
		return p.members(func(name []byte) bool {
			_, twice := (*texts)[string(name)]
			p.space()
			text, ok := p.text()
			(*texts)[string(name)] = text
			return ok && !twice
		})
	}
	v.Set(reflect.MakeMap(s.as))
	return p.members(func(name []byte) bool {
		key, value := reflect.ValueOf(string(name)), reflect.New(s.elem.as).Elem()
		twice := v.MapIndex(key).IsValid()
		ok := p.value(s.elem, value)
		v.SetMapIndex(key, value)
		return ok && !twice
	})
}

func (p *plain) slice(s *shape, v reflect.Value) bool {
	v.Set(reflect.MakeSlice(s.as, 0, 0))
	n := 0
	return p.list('[', ']', func() bool {
		if n == v.Cap() {
			v.Grow(1)
		}
		n++
		v.SetLen(n)
		return p.value(s.elem, v.Index(n-1))
	})
}

// integer decodes a number without fraction and exponent; one with them ends where no value may end.
func (p *plain) integer(v reflect.Value) bool {
	start := p.at
	if p.peek() == '-' {
		p.at++
	}
	first := p.at
	for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
		p.at++
	}
	if p.at > first+1 && p.data[first] == '0' && p.broken != brokenZeros {
		return false
	}
	n, err := strconv.ParseInt(string(p.data[start:p.at]), 10, 64)
	if err != nil || v.OverflowInt(n) {
		return false
	}
	v.SetInt(n)
	return true
}

// text decodes a string.
func (p *plain) text() (string, bool) {
	quoted, simple := p.quoted()
	switch {
	case quoted == nil:
		return "", false
	case simple:
		return string(quoted[1 : len(quoted)-1]), true
	}
	var text string
	err := kjson.UnmarshalCaseSensitivePreserveInts(quoted, &text)
	return text, err == nil
}
