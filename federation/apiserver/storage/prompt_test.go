package storage

import (
	"context"
	"path"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/storage"
)

// prompt is a Storage whose creations return when the watch of their namespace has the event ready for its reader: some
// of the library's tests give an event 150 ms, or all of them a second, which a busy machine may not have. Nobody else
// may read the watch meanwhile.
type prompt struct {
	storage.Interface

	mu      sync.Mutex
	watches map[string]*watcher // by their key
}

func prompted(s subject) *prompt { return &prompt{Interface: s, watches: map[string]*watcher{}} }

// Watch implements storage.Interface.
func (p *prompt) Watch(ctx context.Context, key string, opts storage.ListOptions) (watch.Interface, error) {
	w, err := p.Interface.Watch(ctx, key, opts)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watches[key] = w.(*watcher)
	return w, nil
}

// Create implements storage.Interface.
func (p *prompt) Create(ctx context.Context, key string, obj, out runtime.Object, ttl uint64) error {
	return p.deliver(key, func() error { return p.Interface.Create(ctx, key, obj, out, ttl) })
}

// GuaranteedUpdate implements storage.Interface, for updates that create.
func (p *prompt) GuaranteedUpdate(ctx context.Context, key string, destination runtime.Object, ignoreNotFound bool,
	preconditions *storage.Preconditions, try storage.UpdateFunc, cached runtime.Object) error {
	return p.deliver(key, func() error {
		return p.Interface.GuaranteedUpdate(ctx, key, destination, ignoreNotFound, preconditions, try, cached)
	})
}

func (p *prompt) deliver(key string, write func() error) error {
	p.mu.Lock()
	w := p.watches[path.Dir(key)]
	p.mu.Unlock()
	if w == nil {
		return write()
	}
	before := len(w.out)
	if err := write(); err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); len(w.out) == before && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	return nil
}
