package source

import (
	"context"

	"pentad.dev/pentad/federation/feed"
)

// Source reads one registry.
type Source interface {
	// Run reads until ctx ends, and hands what it reads to out. It calls out from one goroutine at a time. When it
	// returns before ctx ends, whatever it returns, the agent says so in its report, keeps what was handed over in force,
	// and runs it again after a pause.
	Run(ctx context.Context, out Sink) error
}

// Sink takes what a source reads. The values of changes are the sink's from then on.
type Sink interface {
	// Replace states the whole set: what it does not name is gone. A Run begins with it, and only after the registry has
	// answered in full: a source that knows only a part, or nothing yet, hands over nothing. An empty set is an answer.
	Replace(whole []feed.Change) error
	// Apply states what changed since; a nil Value deletes. Before Replace it is refused with ErrNotAnswered.
	Apply(changes []feed.Change) error
	// Problem says what is wrong with the registry and what to do about it; nil says that it is read without error. It
	// changes nothing of what is in force.
	Problem(err error)
}
