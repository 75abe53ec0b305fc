package model

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/federation/model/modelpb"
)

var (
	// ErrMalformed is wrapped by every error about bytes that are no message of their kind.
	ErrMalformed = errors.New("malformed record")
	// ErrInvalid is wrapped by every error about a message that breaks the rules of its kind; the error names the field,
	// its value and what would be right.
	ErrInvalid = errors.New("invalid record")
	// ErrUnknownKind is wrapped by Check for a kind that no cluster's feed has.
	ErrUnknownKind = errors.New("unknown kind of record")
)

// Encode returns the bytes of a message for a record's Value: deterministic, and never nil. It doesn't validate.
func Encode(m proto.Message) ([]byte, error) {
	// The non-nil buffer keeps a message without fields from becoming a tombstone.
	b, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend([]byte{}, m)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	return b, nil
}

// DecodeService decodes and validates the Value of a record of KindService.
func DecodeService(key string, value []byte) (*modelpb.Service, error) {
	s := &modelpb.Service{}
	if err := unmarshal(KindService, key, value, s); err != nil {
		return nil, err
	}
	if s.GetName() != key {
		return nil, misplaced(KindService, key, "name", s.GetName())
	}
	if err := invalid(KindService, key, ValidateService(s)); err != nil {
		return nil, err
	}
	return s, nil
}

// DecodeEndpointSlice decodes and validates the Value of a record of KindEndpointSlice.
func DecodeEndpointSlice(key string, value []byte) (*modelpb.EndpointSlice, error) {
	s := &modelpb.EndpointSlice{}
	if err := unmarshal(KindEndpointSlice, key, value, s); err != nil {
		return nil, err
	}
	if service, _, ok := SplitSliceKey(key); !ok || service != s.GetService() {
		return nil, misplaced(KindEndpointSlice, key, "service", s.GetService())
	}
	if err := invalid(KindEndpointSlice, key, ValidateEndpointSlice(s)); err != nil {
		return nil, err
	}
	return s, nil
}

// DecodeSourceReport decodes and validates the Value of a record of KindSourceReport.
func DecodeSourceReport(key string, value []byte) (*modelpb.SourceReport, error) {
	r := &modelpb.SourceReport{}
	if err := unmarshal(KindSourceReport, key, value, r); err != nil {
		return nil, err
	}
	if r.GetSource() != key {
		return nil, misplaced(KindSourceReport, key, "source", r.GetSource())
	}
	if err := invalid(KindSourceReport, key, ValidateSourceReport(r)); err != nil {
		return nil, err
	}
	return r, nil
}

// Check says what is wrong with a record's Value, for writers of clusters' feeds: Decode of whichever kind it is, or
// ErrUnknownKind, also for the kinds of the intent feed, which no cluster writes.
func Check(kind, key string, value []byte) error {
	var err error
	switch kind {
	case KindService:
		_, err = DecodeService(key, value)
	case KindEndpointSlice:
		_, err = DecodeEndpointSlice(key, value)
	case KindSourceReport:
		_, err = DecodeSourceReport(key, value)
	case KindStoreReport:
		_, err = DecodeStoreReport(key, value)
	default:
		err = fmt.Errorf("%w: %q, key %q", ErrUnknownKind, kind, key)
	}
	return err
}

func unmarshal(kind, key string, value []byte, into proto.Message) error {
	if err := proto.Unmarshal(value, into); err != nil {
		return fmt.Errorf("%w: %s %q: %w", ErrMalformed, kind, key, err)
	}
	return nil
}

func misplaced(kind, key, field, value string) error {
	return fmt.Errorf("%w: %s %q: %s: Invalid value: %q: must be that of the key", ErrInvalid, kind, key, field, value)
}
