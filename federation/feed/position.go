package feed

import (
	"cmp"
	"fmt"
)

// Position is a place in a feed: a later incarnation beats any sequence of an earlier one. The zero Position means
// "unknown", never "empty".
type Position struct {
	// Incarnation is taken by the writer when it takes the feed over; never reused.
	Incarnation uint64
	// Seq counts the commits of one incarnation.
	Seq uint64
}

// Compare returns -1, 0 or +1 as p is before, equal to or after q.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Incarnation, q.Incarnation), cmp.Compare(p.Seq, q.Seq))
}

// Before says whether p is before q.
func (p Position) Before(q Position) bool { return p.Compare(q) < 0 }

// IsZero says whether p is unknown.
func (p Position) IsZero() bool { return p == Position{} }

func (p Position) String() string { return fmt.Sprintf("%d.%d", p.Incarnation, p.Seq) }

// MarshalText makes a position "incarnation.seq" in JSON and in logs.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (p *Position) UnmarshalText(text []byte) error {
	var q Position
	if _, err := fmt.Sscanf(string(text), "%d.%d", &q.Incarnation, &q.Seq); err != nil || q.String() != string(text) {
		return fmt.Errorf("position %q: must be incarnation.sequence", text)
	}
	*p = q
	return nil
}
