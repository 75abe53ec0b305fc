package feed

import (
	"slices"
	"sync"
)

// Set is the feeds of one process. All methods may be called from any goroutine.
type Set struct {
	dir  string
	opts Options

	mu   sync.RWMutex
	logs map[ID]*Log
	// removed is up to where feeds were removed that have not come back above it.
	removed map[ID]Position
	// readers are the removed logs whose cursors wait for the feed to come back.
	readers map[ID]*Log
	// volatile are the feeds that their owner rebuilds by itself; they are not saved.
	volatile map[ID]bool

	// saving is full while a snapshot is written; saved says what of each feed is on disk. It is no sync.Mutex: in simulated
	// time (testing/synctest) the clock stands still while anybody waits for one, and the disk would never be done.
	saving chan struct{}
	saved  map[ID]stored

	// watchers is guarded apart from mu: it is read under a log's lock.
	watchersMu sync.RWMutex
	watchers   []watcher
}

// watcher hears of changes, under the log's lock: it must return at once and call back into neither log nor set.
type watcher interface{ observe(*Log, event) }

// OpenSet returns the feeds whose snapshots lie in dir, stale until their writers are heard of; with dir "" the set
// lives in memory only. A snapshot that cannot be read in full is set aside with an error in o.Log, and its feed is
// absent.
func OpenSet(dir string, o Options) (*Set, error) {
	s := &Set{
		dir: dir, opts: o.withDefaults(), logs: map[ID]*Log{}, removed: map[ID]Position{}, readers: map[ID]*Log{}, volatile: map[ID]bool{},
		saving: make(chan struct{}, 1), saved: map[ID]stored{},
	}
	if dir != "" {
		if err := s.load(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Log returns the feed, made if it is absent.
func (s *Set) Log(id ID) *Log { return s.LogFiltered(id, Filter{}) }

// LogFiltered returns the feed; if it is absent it is made to hold what filter names.
func (s *Set) LogFiltered(id ID, filter Filter) *Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.logs[id]
	if l == nil {
		l = NewLog(id, filter, s.opts)
		l.observer = s.observe
		if !s.opts.broken.has(removalForgotten) {
			l.after(s.removed[id])
		}
		if r := s.readers[id]; r != nil {
			l.adopt(r)
			delete(s.readers, id)
		}
		s.logs[id] = l
	}
	return l
}

// Add takes a log that somebody else made into the set, as the intent's, which its owner rebuilds at each start: it is
// served and watched, and not saved. The log must be in no other set.
func (s *Set) Add(l *Log) {
	s.mu.Lock()
	s.logs[l.id], s.volatile[l.id] = l, true
	s.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.observer = s.observe
	l.notify(moved | homed)
}

// Get returns the feed if the set has it.
func (s *Set) Get(id ID) (*Log, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	l, ok := s.logs[id]
	return l, ok
}

// IDs returns the feeds' names, sorted.
func (s *Set) IDs() []ID {
	s.mu.RLock()
	defer s.mu.RUnlock()
	ids := make([]ID, 0, len(s.logs))
	for id := range s.logs {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (s *Set) observe(l *Log, e event) {
	s.watchersMu.RLock()
	defer s.watchersMu.RUnlock()
	for _, w := range s.watchers {
		w.observe(l, e)
	}
}

func (s *Set) addWatcher(w watcher) {
	s.watchersMu.Lock()
	defer s.watchersMu.Unlock()
	s.watchers = append(s.watchers, w)
}

func (s *Set) removeWatcher(w watcher) {
	s.watchersMu.Lock()
	defer s.watchersMu.Unlock()
	if i := slices.Index(s.watchers, w); i >= 0 {
		s.watchers = slices.Delete(s.watchers, i, i+1)
	}
}

// SetWatch says which feeds of a set changed.
type SetWatch struct {
	set    *Set
	events event
	wake   chan struct{}

	mu      sync.Mutex
	changed map[ID]struct{}
}

// Watch returns a watch of all feeds, those that are there included. Close it.
func (s *Set) Watch() *SetWatch { return s.watch(moved) }

// WatchLiveness is Watch which is also told of each sign of life of a writer, and of a writer's stream that came or
// went.
func (s *Set) WatchLiveness() *SetWatch { return s.watch(moved | pulsed | homed) }

func (s *Set) watch(events event) *SetWatch {
	w := &SetWatch{set: s, events: events, wake: make(chan struct{}, 1), changed: map[ID]struct{}{}}
	s.addWatcher(w)
	for _, id := range s.IDs() {
		w.add(id)
	}
	return w
}

// C receives when something changed since the last call of Changed.
func (w *SetWatch) C() <-chan struct{} { return w.wake }

// Changed returns, sorted, the feeds that changed since the last call.
func (w *SetWatch) Changed() []ID {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := make([]ID, 0, len(w.changed))
	for id := range w.changed {
		ids = append(ids, id)
	}
	clear(w.changed)
	slices.Sort(ids)
	return ids
}

// Close ends the watch.
func (w *SetWatch) Close() { w.set.removeWatcher(w) }

func (w *SetWatch) observe(l *Log, e event) {
	if e&w.events != 0 {
		w.add(l.id)
	}
}

func (w *SetWatch) add(id ID) {
	w.mu.Lock()
	w.changed[id] = struct{}{}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}
