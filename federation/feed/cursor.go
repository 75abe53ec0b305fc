package feed

import (
	"slices"
	"sync/atomic"
)

// Cursor is a reader's place in a log. Next belongs to one goroutine; Wake and Close may be used by others. It outlives
// its log: when the feed is removed from its set it yields one empty reset, and when the feed comes back the whole set.
type Cursor struct {
	log  atomic.Pointer[Log] // the feed's present one, or the last
	wake chan struct{}

	// What follows belongs to the goroutine that calls Next.
	read       *Log
	pos        Position
	generation uint64
	over       bool // of a removed log: the reset was given
}

// Cursor returns a reader that has everything up to from; from zero it begins with the whole set. Close it.
func (l *Log) Cursor(from Position) *Cursor {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &Cursor{read: l, pos: from, generation: l.generation, wake: make(chan struct{}, 1)}
	c.log.Store(l)
	c.signal()
	l.cursors = append(l.cursors, c)
	return c
}

// Next returns what changed since the last batch, as one consistent step up to the log's present position, each key
// once. False: nothing changed. It never blocks. A batch may be empty: the position moved, or, if it is a reset of
// unknown position, the feed was removed.
func (c *Cursor) Next() (Batch, bool) {
	l := c.log.Load()
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.removed {
		over := c.over
		c.over = true
		return Batch{From: c.pos, Reset: true}, !over
	}
	again := c.generation != l.generation
	if l != c.read { // the feed is back
		c.read, c.over, c.pos, again = l, false, Position{}, false
	}
	b, ok := l.since(c.pos, l.floor, Filter{}, again)
	if ok {
		c.pos, c.generation = b.To, l.generation
	}
	return b, ok
}

// Position is where the cursor stands: the To of the last batch.
func (c *Cursor) Position() Position { return c.pos }

// Wake receives after each change; several changes may be one signal. The first is there from the start.
func (c *Cursor) Wake() <-chan struct{} { return c.wake }

// Close ends the wake-ups.
func (c *Cursor) Close() {
	for l := c.log.Load(); !l.dropCursor(c); l = c.log.Load() {
	}
}

// dropCursor is false if the cursor went to another log meanwhile.
func (l *Log) dropCursor(c *Cursor) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.log.Load() != l {
		return false
	}
	if i := slices.Index(l.cursors, c); i >= 0 {
		last := len(l.cursors) - 1
		l.cursors[i], l.cursors[last] = l.cursors[last], nil
		l.cursors = l.cursors[:last]
	}
	return true
}

// adopt takes over the cursors of the feed's removed log.
func (l *Log) adopt(removed *Log) {
	removed.mu.Lock()
	defer removed.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range removed.cursors {
		c.log.Store(l)
		c.signal()
	}
	l.cursors, removed.cursors = append(l.cursors, removed.cursors...), nil
}

func (c *Cursor) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// since fixes a batch from a reader's position to the tail (rule 7). The lock is held. With again the reader gets the
// whole set even if its position says that nothing changed. A reader that is ahead gets nothing (rule 11), one that is
// before the floor a reset (rule 12).
func (l *Log) since(from, floor Position, f Filter, again bool) (Batch, bool) {
	if c := from.Compare(l.pos); l.pos.IsZero() || c > 0 || c == 0 && !again {
		return Batch{}, false
	}
	b := Batch{From: from, To: l.pos, Floor: l.floor}
	b.Reset = again || from.IsZero() || from.Before(floor)
	n := 0
	first := l.table.root.next
	if b.Reset {
		n = l.table.live + l.table.dead.count
	} else {
		first = &l.table.root
		for first.prev != &l.table.root && from.Before(first.prev.At) {
			first, n = first.prev, n+1
		}
	}
	b.Records = make([]*Record, 0, n)
	all := f.IsZero()
	for r := first; r != &l.table.root; r = r.next {
		if all || f.Matches(r.Kind, r.Key) {
			b.Records = append(b.Records, &r.Record)
		}
	}
	return b, true
}

// changed says that r is no longer the latest record of its key.
func (l *Log) changed(r *Record) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	n := l.table.get(r.Kind, r.Key)
	return n == nil || &n.Record != r
}
