package feed

import "sync"

// inbox collects which feeds changed for one stream, so that the stream looks at these only. It is a leaf: its lock is
// taken under a log's.
type inbox struct {
	mu     sync.Mutex
	events map[ID]event
	dirty  []ID // in the order of their first change
	spare  []ID
	wake   chan struct{}
}

func newInbox() *inbox { return &inbox{events: map[ID]event{}, wake: make(chan struct{}, 1)} }

func (b *inbox) observe(l *Log, e event) {
	b.mu.Lock()
	old, there := b.events[l.id]
	b.events[l.id] = old | e
	if !there {
		b.dirty = append(b.dirty, l.id)
	}
	b.mu.Unlock()
	b.signal()
}

// signal makes the stream look for something to send.
func (b *inbox) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take calls look for each feed that changed since the last call. One goroutine at a time may call it.
func (b *inbox) take(look func(ID, event)) {
	b.mu.Lock()
	taken := b.dirty
	b.dirty, b.spare = b.spare[:0], nil
	events := make([]event, len(taken))
	for i, id := range taken {
		events[i] = b.events[id]
	}
	clear(b.events)
	b.mu.Unlock()
	for i, id := range taken {
		look(id, events[i])
	}
	b.spare = taken
}
