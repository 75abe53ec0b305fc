package server

import (
	"sync"
	"time"
)

// roll is when this server, as leader, last heard of others by their announcements.
type roll struct {
	mu   sync.Mutex
	last map[string]time.Time
}

func (r *roll) heard(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = map[string]time.Time{}
	}
	r.last[name] = time.Now()
}

// since is how long ago; negative: never.
func (r *roll) since(name string) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, ok := r.last[name]
	if !ok {
		return -1
	}
	return time.Since(last)
}
