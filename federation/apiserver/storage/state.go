package storage

import (
	"context"
	"errors"
	"time"
)

// ErrCompacted says that the history asked for is gone; a client gets 410 Gone and lists again.
var ErrCompacted = errors.New("history is compacted")

// State is a set of keys with one revision over all of them, which grows with each change. It is what Storage needs
// to know of the replicated intent, and no more: tests put a lagging or a lying replica in its place.
type State interface {
	// Local is what this replica has now; it may be old.
	Local() View
	// Consistent is a view that holds every write acknowledged before the call. Its error goes to the client as it is.
	Consistent(ctx context.Context) (View, error)
	// At is the state at exactly this revision, which Local has reached. Errors: ErrCompacted.
	At(revision uint64) (View, error)
	// Reach waits until Local has reached the revision, or for ctx.
	Reach(ctx context.Context, revision uint64) error
	// Watch opens a cursor on the events after the revision. Errors: ErrCompacted.
	Watch(revision uint64) (Cursor, error)
	// Compacted is the newest revision whose history is gone, 0 if it is not known.
	Compacted() uint64
	// Propose replicates one write. A lost race is an Outcome, not an error; an error goes to the client as it is.
	Propose(ctx context.Context, w Write) (Outcome, error)
}

// View is an immutable picture of the state.
type View interface {
	Revision() uint64
	Get(key string) (Item, bool)
	// Range calls yield for the keys with the prefix in order, from start on if that is not empty, until it returns false.
	Range(prefix, start string, yield func(Item) bool)
}

// Item is a stored value and the revision that wrote it. The value must not be modified.
type Item struct {
	Key      string
	Value    []byte
	Revision uint64
}

// Event is one change. Value is nil when the key was deleted, Prev when it was created.
type Event struct {
	Revision    uint64
	Key         string
	Value, Prev []byte
}

// Cursor reads the history in order; it never holds the writer up. Close is not needed.
type Cursor interface {
	// Next waits for events and returns them with the revision that they bring the reader to. When tick fires first, it
	// returns no event and the present revision: the reader has seen everything up to it. Errors: ErrCompacted when the
	// reader fell out of the history, and ctx's.
	Next(ctx context.Context, tick <-chan time.Time) ([]Event, uint64, error)
}

// Write is a compare-and-swap: the key gets the value, or is deleted when the value is nil, if the revision that
// wrote it last is Expect. Expect 0: the key must not exist.
type Write struct {
	Key    string
	Value  []byte
	Expect uint64
}

// Outcome answers a Write.
type Outcome struct {
	// OK says that the write was done, at Revision.
	OK       bool
	Revision uint64
	// Current is what holds the key when the race was lost, nil if nothing does; or what a write that was done has made,
	// when that is not the value as it was given.
	Current *Item
}
