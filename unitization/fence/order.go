package fence

import (
	"cmp"
	"fmt"
)

// Action is what an Order asks for.
type Action int

// The actions in the order of a switchover. Status asks, and changes nothing; it is no order.
const (
	Status Action = iota
	Fence
	CatchUp
	Promote
	Open
	Unfence
)

var actions = [...]string{"Status", "Fence", "CatchUp", "Promote", "Open", "Unfence"}

func (a Action) String() string {
	if a < 0 || int(a) >= len(actions) {
		return fmt.Sprintf("Action(%d)", int(a))
	}
	return actions[a]
}

// MarshalText is the action's name, for status pages.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (a *Action) UnmarshalText(text []byte) (err error) {
	*a, err = ParseAction(string(text))
	return err
}

// ParseAction is the inverse of String.
func ParseAction(s string) (Action, error) {
	for a, name := range actions {
		if s == name {
			return Action(a), nil
		}
	}
	return 0, fmt.Errorf("action: %q is none of %v", s, actions)
}

// Position is how much a member holds, ordered by Epoch, then Index.
type Position struct {
	// Epoch is the token under which the last entry was written; 0 where the store has no such thing.
	Epoch uint64
	// Index is the number of entries, or a log sequence number.
	Index uint64
}

// Compare is negative when p is before q, positive when it is after.
func (p Position) Compare(q Position) int {
	if c := cmp.Compare(p.Epoch, q.Epoch); c != 0 {
		return c
	}
	return cmp.Compare(p.Index, q.Index)
}

// MarshalText is String, for status pages.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (p *Position) UnmarshalText(text []byte) error {
	if _, err := fmt.Sscanf(string(text), "%d.%d", &p.Epoch, &p.Index); err != nil {
		return fmt.Errorf("position %q: must be <epoch>.<index>: %w", text, err)
	}
	return nil
}

func (p Position) String() string { return fmt.Sprintf("%d.%d", p.Epoch, p.Index) }

// Order is what is wanted of a store: a committed StoreOrder.
type Order struct {
	Store  string
	Action Action
	// Member is the one that is to act; empty: every member.
	Member string
	// Token is what the member must keep, and refuse lower ones.
	Token uint64
	// Switchover and UID are the one that ordered it, by name and by uid; Step grows with each order of a switchover.
	Switchover string
	UID        string
	Step       int
	// Position is what CatchUp must reach.
	Position Position
}

// For says whether the order is for a member.
func (o Order) For(member string) bool { return o.Member == "" || o.Member == member }

// State is what a member says of itself.
type State struct {
	// Token is the highest that the member keeps.
	Token uint64
	// Position is how much it holds.
	Position Position
	// Open says that it takes writes, as far as orders go; a permit may be wanted besides.
	Open bool
	// Primary says that it is the one that others copy from.
	Primary bool
}

// Obeyed says why a member in this state does not obey the order; nil: it does.
func (o Order) Obeyed(s State) error {
	if s.Token > o.Token {
		return fmt.Errorf("%w: the member keeps token %d, the order's is %d", ErrLowerToken, s.Token, o.Token)
	}
	if s.Token < o.Token {
		return fmt.Errorf("%w: the member keeps token %d, asked to keep %d", ErrGarbage, s.Token, o.Token)
	}
	wantOpen := o.Action == Open || o.Action == Unfence
	wantPrimary := wantOpen || o.Action == Promote
	switch {
	case s.Open != wantOpen:
		return fmt.Errorf("%w: the member is open: %t, after %s", ErrGarbage, s.Open, o.Action)
	case wantPrimary && !s.Primary:
		return fmt.Errorf("%w: the member is no primary, after %s", ErrGarbage, o.Action)
	case o.Action == CatchUp && s.Position.Compare(o.Position) < 0:
		return fmt.Errorf("%w: the member is at %s, asked to reach %s", ErrGarbage, s.Position, o.Position)
	}
	return nil
}
