// Package permit is the right to accept writes: who holds it, for which shards and stores, until when on whose clock. A
// guard asks its relay, a store its agent, both ask a server; each counts from its own ask, and hands on no more than
// what it has left itself. The package is pure: clocks are passed in, package stream does the talking. See DESIGN.md.
package permit

import (
	"time"

	"pentad.dev/pentad/unitization/permit/permitpb"
)

// Longest is the longest time that a permit may hold; it is also the greatest permit duration that an intent may have.
const Longest = time.Minute

// Default is how long a permit holds for whom no unitization concerns.
const Default = 5 * time.Second

// Permit is an answer and when it was asked for. It is immutable, and lives in memory only (rule 6 of ownership).
type Permit struct {
	// Asked is when the holder asked, on the holder's own clock.
	Asked Instant
	// Holds is counted from Asked. 0 gives no right, only knowledge: who answered holds nothing itself.
	Holds time.Duration
	// Revision is the intent's of which Maps and Stores are the state.
	Revision uint64
	// Maps are whole ownership maps, valid by the rules of permit.proto, shared and never to be changed.
	Maps []*permitpb.Map
	// Stores say which member of a store may accept writes; only of agents and stores.
	Stores []*permitpb.StorePermit
}

// Left is how long the permit still holds: 0 or less means that it has ended. Of no permit (nil) nothing is left.
func (p *Permit) Left(now Instant) time.Duration {
	if p == nil {
		return 0
	}
	return p.Holds - now.Sub(p.Asked)
}

// sameAs says whether both permits say the same, whatever their times. An epoch names a map's content.
func (p *Permit) sameAs(q *Permit) bool {
	if p == nil || q == nil || len(p.Maps) != len(q.Maps) || len(p.Stores) != len(q.Stores) {
		return false
	}
	for i, m := range p.Maps {
		n := q.Maps[i]
		if m.GetUnitization() != n.GetUnitization() || m.GetEpoch() != n.GetEpoch() || m.GetKeep() != n.GetKeep() {
			return false
		}
	}
	for i, s := range p.Stores {
		o := q.Stores[i]
		if s.GetStore() != o.GetStore() || s.GetPrimary() != o.GetPrimary() || s.GetToken() != o.GetToken() {
			return false
		}
	}
	return true
}
