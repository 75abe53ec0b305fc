package consensus

import "sync"

// lock is a mutex that is held while something is written to disk. Who waits for it waits on a channel, and not for a
// sync.Mutex: in simulated time (testing/synctest) the clock stands still while anybody waits for one, so that the disk
// that its holder waits for would never answer.
type lock struct {
	mu   sync.Mutex
	held bool
	free chan struct{} // closed by the holder; nil while nobody waits
}

// Lock implements sync.Locker.
func (l *lock) Lock() {
	for {
		l.mu.Lock()
		if !l.held {
			l.held = true
			l.mu.Unlock()
			return
		}
		if l.free == nil {
			l.free = make(chan struct{})
		}
		free := l.free
		l.mu.Unlock()
		<-free
	}
}

// Unlock implements sync.Locker.
func (l *lock) Unlock() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = false
	if l.free != nil {
		close(l.free)
		l.free = nil
	}
}
