package feed

import "sync"

// inbox collects which feeds changed for one stream, so that the stream looks at these only. It is a leaf: its lock is
// taken under a log's.
type inbox struct {
	mu    sync.Mutex
	dirty map[ID]event
	spare map[ID]event
	wake  chan struct{}
}

func newInbox() *inbox {
	return &inbox{dirty: map[ID]event{}, spare: map[ID]event{}, wake: make(chan struct{}, 1)}
}

func (b *inbox) observe(l *Log, e event) {
	b.mu.Lock()
	b.dirty[l.id] |= e
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

// take returns what collected. The map is good until the next call.
func (b *inbox) take() map[ID]event {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.dirty) == 0 {
		return nil
	}
	taken := b.dirty
	clear(b.spare)
	b.dirty, b.spare = b.spare, taken
	return taken
}
