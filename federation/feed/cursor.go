package feed

// Cursor is a reader's place in a log. Next belongs to one goroutine; Wake and Close may be used by others.
type Cursor struct {
	log        *Log
	pos        Position
	generation uint64
	wake       chan struct{}
}

// Cursor returns a reader that has everything up to from; from zero it begins with the whole set. Close it.
func (l *Log) Cursor(from Position) *Cursor {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &Cursor{log: l, pos: from, generation: l.generation, wake: make(chan struct{}, 1)}
	c.signal()
	l.cursors = append(l.cursors, c)
	return c
}

// Next returns what changed since the last batch, as one consistent step up to the log's present position, each key
// once. False: nothing changed. It never blocks. A batch may be empty: the position moved.
func (c *Cursor) Next() (Batch, bool) {
	c.log.mu.RLock()
	defer c.log.mu.RUnlock()
	b, ok := c.log.since(c.pos, c.log.floor, Filter{}, c.generation != c.log.generation)
	if ok {
		c.pos, c.generation = b.To, c.log.generation
	}
	return b, ok
}

// Position is where the cursor stands: the To of the last batch.
func (c *Cursor) Position() Position { return c.pos }

// Wake receives after each change; several changes may be one signal. The first is there from the start.
func (c *Cursor) Wake() <-chan struct{} { return c.wake }

// Close ends the wake-ups.
func (c *Cursor) Close() {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	for i, d := range c.log.cursors {
		if c == d {
			last := len(c.log.cursors) - 1
			c.log.cursors[i], c.log.cursors[last] = c.log.cursors[last], nil
			c.log.cursors = c.log.cursors[:last]
			return
		}
	}
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
