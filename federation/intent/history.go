package intent

import (
	"context"
	"fmt"
	"sort"
	"time"
)

// maxBatch bounds the events that one call of Next returns.
const maxBatch = 64

// history is the latest changes of one kind. Bounded by kind, so that a busy kind does not cut off a quiet one's
// watches.
type history struct {
	keep int
	// base is the state before the first event; compacted its revision.
	base      objects
	compacted uint64
	events    []Event
	// first numbers events[0], counted from the beginning of the process: where a cursor stands stays true when events
	// are dropped.
	first uint64
	// wake is closed when there is news.
	wake chan struct{}
}

func newHistory(keep int, base objects, revision uint64) *history {
	return &history{keep: keep, base: base, compacted: revision, wake: make(chan struct{})}
}

func (h *history) add(e Event) {
	h.events = append(h.events, e)
	if len(h.events) > h.keep+h.keep/4 { // not each time: dropping copies
		h.drop(len(h.events) - h.keep)
	}
	h.news()
}

func (h *history) news() {
	close(h.wake)
	h.wake = make(chan struct{})
}

// drop forgets the n oldest events. Readers may hold the old slice, so it is left alone.
func (h *history) drop(n int) {
	if n <= 0 {
		return
	}
	last := h.events[n-1]
	h.compacted, h.base = last.Revision, last.after
	h.events = append(make([]Event, 0, len(h.events)), h.events[n:]...)
	h.first += uint64(n)
}

// reset forgets everything; base is the new beginning.
func (h *history) reset(base objects, revision uint64) {
	h.first += uint64(len(h.events))
	h.events, h.base, h.compacted = nil, base, revision
	h.news()
}

// after is the number of events that a reader at a revision has behind it.
func (h *history) after(revision uint64) int {
	return sort.Search(len(h.events), func(i int) bool { return h.events[i].Revision > revision })
}

func (h *history) at(revision uint64) (objects, bool) {
	if revision < h.compacted {
		return objects{}, false
	}
	if n := h.after(revision); n > 0 {
		return h.events[n-1].after, true
	}
	return h.base, true
}

func (f *FSM) history(kind string) (*history, error) {
	h, ok := f.histories[kind]
	if !ok {
		return nil, fmt.Errorf("kind %q: must be one of %q", kind, f.kinds())
	}
	return h, nil
}

// Compacted is the newest revision of a kind whose changes are forgotten: a watch or an exact list below it fails with
// ErrCompacted. It is 0 for a kind that is not known.
func (f *FSM) Compacted(kind string) uint64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if h, ok := f.histories[kind]; ok {
		return h.compacted
	}
	return 0
}

// Compact forgets the history of all kinds up to a revision, on this replica only.
func (f *FSM) Compact(revision uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.compact(min(revision, f.state.revision))
}

func (f *FSM) compact(revision uint64) {
	for _, h := range f.histories {
		h.drop(h.after(revision))
		h.compacted = max(h.compacted, revision)
	}
}

// Cursor reads one kind's changes in order, each exactly once. It never holds up the FSM: a reader that falls out of
// the history gets ErrCompacted. It is for one goroutine, and needs no closing.
type Cursor struct {
	f       *FSM
	h       *history
	next    uint64 // number of the next event
	after   uint64
	restore uint64
}

// Watch opens a cursor on the changes of a kind after a revision. A revision that this replica has not reached is
// waited for in silence.
func (f *FSM) Watch(kind string, revision uint64) (*Cursor, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	h, err := f.history(kind)
	if err != nil {
		return nil, err
	}
	if revision < h.compacted {
		return nil, ErrCompacted
	}
	return &Cursor{f: f, h: h, next: h.first + uint64(h.after(revision)), after: revision, restore: f.restores}, nil
}

// Next waits for changes. It returns some, and the revision up to which the reader has then seen every change of its
// kind; or, when tick fires first (nil never does), no change and that revision. It fails with ErrCompacted for good,
// or with the context's error.
func (c *Cursor) Next(ctx context.Context, tick <-chan time.Time) ([]Event, uint64, error) {
	for {
		events, revision, wake, err := c.take()
		if err != nil || len(events) > 0 {
			return events, revision, err
		}
		select {
		case <-wake:
		case <-tick:
			// Changes may have come with the tick: the revision must not claim them.
			return c.tick()
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
}

func (c *Cursor) tick() ([]Event, uint64, error) {
	events, revision, _, err := c.take()
	return events, revision, err
}

func (c *Cursor) take() ([]Event, uint64, <-chan struct{}, error) {
	c.f.mu.RLock()
	defer c.f.mu.RUnlock()
	if c.next < c.h.first || c.restore != c.f.restores {
		return nil, 0, nil, ErrCompacted
	}
	events := c.h.events[c.next-c.h.first:]
	for len(events) > 0 && events[0].Revision <= c.after { // the watch began ahead of this replica
		events = events[1:]
		c.next++
	}
	revision := max(c.f.state.revision, c.after)
	if len(events) > maxBatch {
		events = events[:maxBatch:maxBatch]
		revision = events[maxBatch-1].Revision
	}
	c.next += uint64(len(events))
	return events, revision, c.h.wake, nil
}
