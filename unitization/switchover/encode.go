package switchover

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrEncoding says that bytes are no state as Encode writes it.
var ErrEncoding = errors.New("not the state of ownership, or damaged")

// version of the encoding. A state that a later version wrote is refused.
const version = 1

type encoded struct {
	Version int
	State   State
}

// Encode is deterministic: equal states give equal bytes.
func (s State) Encode() ([]byte, error) {
	bytes, err := json.Marshal(encoded{version, s})
	if err != nil {
		return nil, fmt.Errorf("encode ownership: %w", err)
	}
	return bytes, nil
}

// DecodeState reads what Encode wrote, to the byte, and checks it. Errors wrap ErrEncoding.
func DecodeState(data []byte) (State, error) {
	var e encoded
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	if e.Version != version {
		return State{}, fmt.Errorf("%w: version %d, and this reads %d", ErrEncoding, e.Version, version)
	}
	again, err := e.State.Encode()
	if err != nil || !bytes.Equal(again, data) {
		return State{}, fmt.Errorf("%w: not in the form that it was written in", ErrEncoding)
	}
	if err := e.State.Check(); err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	return e.State, nil
}
