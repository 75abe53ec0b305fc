package intent

import (
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"pentad.dev/pentad/federation/intent/intentpb"
)

const (
	// maxRefusals bounds the mistakes that one result names.
	maxRefusals = 64
	// maxRefusalText bounds each text of a mistake in bytes: results are kept, and a user's value may be long.
	maxRefusalText = 1 << 10
)

// Result is the answer to a command: OK, refused (Refused is not empty), or else a lost race.
type Result struct {
	OK bool
	// Revision is the one that the command made when it is OK: the new resourceVersion, of a deletion too. Otherwise it
	// is the revision at which the command was judged, and nothing has changed.
	Revision uint64
	// Current is the object that a lost race met, nil when there is no such object. Of an accepted command it is a Store,
	// a Unitization or a Switchover as it is stored now, with the status that the state machine gave it; nil for other
	// kinds, and for commands that are about no single object.
	Current *Object
	// Refused says what is wrong with the object.
	Refused []FieldError
}

// FieldError is a mistake in an object: a field.Error that went through the log.
type FieldError struct {
	// Type is a field.ErrorType, as "FieldValueInvalid".
	Type string
	// Field is a path, as "spec.failover[1].scope".
	Field string
	// Value is the wrong value as JSON; empty when there is none to show.
	Value string
	// Message says what would be right.
	Message string
}

// LostRace says that the object was not at the expected revision: it exists (a creation), is at another revision, is
// another object of the same name, or is gone.
func (r Result) LostRace() bool { return !r.OK && len(r.Refused) == 0 }

// Errors are the refusals as the API machinery takes them.
func (r Result) Errors() field.ErrorList {
	var errs field.ErrorList
	for _, refused := range r.Refused {
		var value any = field.OmitValueType{}
		if refused.Value != "" {
			if err := kjson.UnmarshalCaseSensitivePreserveInts([]byte(refused.Value), &value); err != nil {
				value = refused.Value
			}
		}
		errs = append(errs, &field.Error{
			Type: field.ErrorType(refused.Type), Field: refused.Field, BadValue: value, Detail: refused.Message,
		})
	}
	return errs
}

// DecodeResult decodes what Apply returned.
func DecodeResult(encoded []byte) (Result, error) {
	var m intentpb.Result
	if err := proto.Unmarshal(encoded, &m); err != nil {
		return Result{}, fmt.Errorf("result of a command: %w", err)
	}
	r := Result{OK: m.GetOk(), Revision: m.GetRevision()}
	if o := m.GetCurrent(); o != nil {
		r.Current = objectFromProto(o)
	}
	for _, e := range m.GetRefused() {
		r.Refused = append(r.Refused, FieldError{
			Type: e.GetType(), Field: e.GetField(), Value: string(e.GetValue()), Message: e.GetMessage(),
		})
	}
	return r, nil
}

// encode cannot fail: every string in a result is valid UTF-8.
func (r Result) encode() []byte {
	m := &intentpb.Result{Ok: r.OK, Revision: r.Revision}
	if r.Current != nil {
		m.Current = r.Current.proto()
	}
	for _, e := range r.Refused {
		m.Refused = append(m.Refused, &intentpb.FieldError{
			Type: e.Type, Field: e.Field, Value: []byte(e.Value), Message: e.Message,
		})
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("intent: a result cannot be encoded: %v", err))
	}
	return encoded
}

// refusals turns mistakes into what a result carries.
func refusals(errs field.ErrorList) []FieldError {
	var out []FieldError
	for _, err := range errs {
		if len(out) == maxRefusals {
			break
		}
		refused := FieldError{Type: string(err.Type), Field: clip(err.Field), Message: clip(err.Detail)}
		if _, omitted := err.BadValue.(field.OmitValueType); !omitted && err.BadValue != nil {
			refused.Value = jsonValue(err.BadValue)
		}
		out = append(out, refused)
	}
	return out
}

func jsonValue(value any) string {
	encoded, err := json.Marshal(value)
	if err == nil && len(encoded) <= maxRefusalText {
		return string(encoded)
	}
	text := string(encoded)
	if s, ok := value.(string); ok {
		text = s
	}
	encoded, _ = json.Marshal(clip(text)) // a string always encodes
	return string(encoded)
}

// clip shortens a text, and makes it valid UTF-8.
func clip(text string) string {
	if len(text) > maxRefusalText {
		text = text[:maxRefusalText] + "..."
	}
	return strings.ToValidUTF8(text, "")
}
