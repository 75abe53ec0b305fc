package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"pentad.dev/pentad/unitization/fence"
)

// maxBody bounds a body in either direction.
const maxBody = 64 << 10

// request is what is posted.
type request struct {
	Action     string    `json:"action"`
	Store      string    `json:"store"`
	Member     string    `json:"member"`
	Token      *number   `json:"token"`
	Switchover string    `json:"switchover"`
	Step       int       `json:"step"`
	Position   *position `json:"position"`
}

// answer is what comes back.
type answer struct {
	Token    *number   `json:"token"`
	Position *position `json:"position"`
	State    string    `json:"state"`
	Primary  *bool     `json:"primary"`
}

type position struct {
	Epoch *number `json:"epoch"`
	Index *number `json:"index"`
}

// problem is the body of any other answer.
type problem struct {
	Error string `json:"error"`
}

// The states.
const (
	stateOpen   = "Open"
	stateClosed = "Closed"
)

// number is 64 bits as a canonical decimal string.
type number uint64

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) { return strconv.AppendQuote(nil, n.String()), nil }

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("%s: must be a decimal number in quotes", data)
	}
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil || strconv.FormatUint(v, 10) != text {
		return fmt.Errorf("%q: must be a decimal number of 64 bits, without sign or leading zeros", text)
	}
	*n = number(v)
	return nil
}

func (n number) String() string { return strconv.FormatUint(uint64(n), 10) }

// decode takes exactly one JSON object with known fields.
func decode(body io.Reader, into any) error {
	data, err := io.ReadAll(io.LimitReader(body, maxBody+1))
	if err != nil {
		return err
	}
	if len(data) > maxBody {
		return fmt.Errorf("body: is longer than %d bytes", maxBody)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("body: has more than one JSON object")
	}
	return nil
}

func requestOf(a fence.Action, r fence.Request) request {
	token := number(r.Token)
	return request{
		Action: a.String(), Store: r.Store, Member: r.Member, Token: &token,
		Switchover: r.Switchover, Step: r.Step, Position: positionOf(r.Position),
	}
}

func (r request) request() (fence.Action, fence.Request, error) {
	action, err := fence.ParseAction(r.Action)
	errs := []error{err}
	if r.Token == nil {
		errs = append(errs, errors.New("token: must not be missing"))
	}
	at, err := r.Position.position()
	if err := errors.Join(append(errs, err)...); err != nil {
		return 0, fence.Request{}, err
	}
	return action, fence.Request{
		Store: r.Store, Member: r.Member, Token: uint64(*r.Token), Switchover: r.Switchover, Step: r.Step, Position: at,
	}, nil
}

func answerOf(s fence.State) answer {
	token, state := number(s.Token), stateClosed
	if s.Open {
		state = stateOpen
	}
	return answer{Token: &token, Position: positionOf(s.Position), State: state, Primary: &s.Primary}
}

func (a answer) state() (fence.State, error) {
	var errs []error
	if a.Token == nil {
		errs = append(errs, errors.New("token: must not be missing"))
	}
	if a.Primary == nil {
		errs = append(errs, errors.New("primary: must not be missing"))
	}
	if a.State != stateOpen && a.State != stateClosed {
		errs = append(errs, fmt.Errorf("state: %q is none of %s and %s", a.State, stateOpen, stateClosed))
	}
	at, err := a.Position.position()
	if err := errors.Join(append(errs, err)...); err != nil {
		return fence.State{}, err
	}
	return fence.State{Token: uint64(*a.Token), Position: at, Open: a.State == stateOpen, Primary: *a.Primary}, nil
}

func positionOf(p fence.Position) *position {
	epoch, index := number(p.Epoch), number(p.Index)
	return &position{Epoch: &epoch, Index: &index}
}

func (p *position) position() (fence.Position, error) {
	if p == nil || p.Epoch == nil || p.Index == nil {
		return fence.Position{}, errors.New("position: must have epoch and index")
	}
	return fence.Position{Epoch: uint64(*p.Epoch), Index: uint64(*p.Index)}, nil
}
