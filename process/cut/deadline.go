package cut

import (
	"sync"
	"time"
)

// deadline is a time that can be moved, and a channel that is closed once it has passed; as in net.Pipe.
type deadline struct {
	mu     *sync.Mutex
	timer  *time.Timer
	closed chan struct{}
}

func newDeadline() deadline { return deadline{mu: &sync.Mutex{}, closed: make(chan struct{})} }

// set moves the deadline; the zero time is none.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.closed // the timer fires now
	}
	d.timer = nil
	passed := isClosed(d.closed)
	if t.IsZero() {
		if passed {
			d.closed = make(chan struct{})
		}
		return
	}
	if left := time.Until(t); left > 0 {
		if passed {
			d.closed = make(chan struct{})
		}
		d.timer = time.AfterFunc(left, func() { close(d.closed) })
		return
	}
	if !passed {
		close(d.closed)
	}
}

// passed is closed once the deadline has passed.
func (d *deadline) passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
