// Package permit is the right to accept writes: who holds it, for which shards and stores, until when on whose clock. A
// guard asks its relay, a store its agent, both ask a server; each counts from its own ask, and hands on no more than what
// it has left itself. The package is pure: clocks are passed in, package stream does the talking. See DESIGN.md.
package permit

import (
	"time"

	"pentad.dev/pentad/unitization/permit/permitpb"
)

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
