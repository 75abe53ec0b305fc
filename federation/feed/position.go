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
