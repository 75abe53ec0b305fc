package stream

import (
	"errors"

	"pentad.dev/pentad/unitization/permit"
)

// breakage is a set of rules that a test breaks on purpose, to see that it is found. Production code never sets one;
// the zero value keeps every rule.
type breakage uint64

const (
	// brokenJoinsPresent lets an ask share a read that had begun before it.
	brokenJoinsPresent breakage = 1 << iota
	// brokenStaleState answers from the replica's state without waiting for the revision that was read.
	brokenStaleState
	// brokenUnregistered answers sessions that are not in the log (rule 3).
	brokenUnregistered
	// brokenClosedSession answers closed sessions (rule 3).
	brokenClosedSession
)

func (b breakage) has(rule breakage) bool { return b&rule != 0 }

// ignores says whether a test wants a session answered all the same.
func (b breakage) ignores(err error) bool {
	return b.has(brokenUnregistered) && errors.Is(err, permit.ErrUnregistered) ||
		b.has(brokenClosedSession) && errors.Is(err, permit.ErrSessionClosed)
}
