package serve

import (
	"bytes"
	"cmp"
	"slices"
	"sync"
	"time"

	"pentad.dev/pentad/federation/feed"
)

// table is the resources as the streams see them, one commit of the feed at a time, and the index of who wants what.
// A commit is applied under the write lock together with the marks that it leaves in inboxes; a stream drains its
// inbox and builds its responses under one read lock, so every response is the state at one position.
type table struct {
	mu       sync.RWMutex
	at       feed.Position
	shelves  map[string]*shelf
	onDemand func(typeURL, name string) ([]byte, bool)
	absent   func(typeURL, name string) ([]byte, bool)
	since    func(typeURL string, body []byte) uint64
	// sunk are sets that lost what had their highest since; empty between batches.
	sunk map[*interest]struct{}
	// broken breaks rules on purpose, in tests.
	broken faults
}

// shelf is the part of the table that holds one type.
type shelf struct {
	kind    kind
	entries map[string]*entry
	live    int
	// sum is the weight of all live resources: the version of a wildcard.
	sum uint64
	// changed is the position of the type's last change.
	changed feed.Position
	sets    map[uint64][]*interest
	wild    map[*inbox]struct{}

	picture struct {
		sync.Mutex
		list  []*resource
		since uint64
	}
}

// entry is a name that exists or that somebody asks for.
type entry struct {
	res *resource
	// last is what a removed name held, for clients that can't do without it yet.
	last *resource
	live bool
	sets map[*interest]struct{}
}

func newTable(c Config) *table {
	t := &table{
		shelves: make(map[string]*shelf), onDemand: c.OnDemand, absent: c.Absent, since: c.Since,
		sunk: make(map[*interest]struct{}), broken: c.faults,
	}
	if t.since == nil {
		t.since = func(string, []byte) uint64 { return 0 }
	}
	return t
}

func (t *table) shelf(url string) *shelf {
	sh := t.shelves[url]
	if sh == nil {
		sh = &shelf{
			kind:    kindOf(url),
			entries: make(map[string]*entry),
			sets:    make(map[uint64][]*interest),
			wild:    make(map[*inbox]struct{}),
		}
		t.shelves[url] = sh
	}
	return sh
}

// apply takes over one batch of the feed and returns the inboxes to be woken once the lock is free.
func (t *table) apply(b feed.Batch, now time.Time) []*inbox {
	t.mu.Lock()
	defer t.mu.Unlock()
	var woken []*inbox
	if b.Reset {
		woken = t.sweep(b, now, woken)
	}
	for _, r := range b.Records {
		woken = t.put(r, now, woken)
	}
	t.settle()
	t.at = b.To
	return woken
}

// sweep removes what a reset does not name.
func (t *table) sweep(b feed.Batch, now time.Time, woken []*inbox) []*inbox {
	type id struct{ kind, key string }
	named := make(map[id]struct{}, len(b.Records))
	for _, r := range b.Records {
		named[id{r.Kind, r.Key}] = struct{}{}
	}
	for url, sh := range t.shelves {
		for name, e := range sh.entries {
			if _, ok := named[id{url, name}]; !ok && e.live {
				woken = t.put(&feed.Record{Kind: url, Key: name, At: b.To}, now, woken)
			}
		}
	}
	return woken
}

// put takes over one record. A record that brings no new bytes, as after a new incarnation, changes nothing.
func (t *table) put(r *feed.Record, now time.Time, woken []*inbox) []*inbox {
	sh := t.shelf(r.Kind)
	e := sh.entries[r.Key]
	switch {
	case e == nil && r.Value == nil, e != nil && !e.live && r.Value == nil:
		return woken
	case e == nil:
		e = &entry{}
		sh.entries[r.Key] = e
	case e.live && r.Value != nil && e.res.hash == r.Hash && bytes.Equal(e.res.body(), r.Value):
		return woken
	}
	old := e.res
	if e.live {
		sh.sum -= old.weight
		sh.live--
	}
	e.live = r.Value != nil
	if e.live {
		e.res, e.last = t.resource(sh, r.Key, r.Value, r.Hash, r.At), nil
		sh.sum += e.res.weight
		sh.live++
	} else {
		e.res, e.last = t.without(sh, r.Key, r.At), old
	}
	sh.changed = r.At
	sh.picture.list = nil
	for set := range e.sets {
		t.replace(set, old, e.res)
		for ib := range set.members {
			woken = ib.mark(sh.kind.url, r.Key, now, woken)
		}
	}
	for ib := range sh.wild {
		woken = ib.mark(sh.kind.url, r.Key, now, woken)
	}
	if !e.live && len(e.sets) == 0 {
		delete(sh.entries, r.Key)
	}
	return woken
}

// resource is content as it enters the table.
func (t *table) resource(sh *shelf, name string, body []byte, hash uint64, at feed.Position) *resource {
	res := newResource(name, body, hash, at)
	res.since = t.since(sh.kind.url, body)
	return res
}

// without is what a name is answered by that is not in the feed.
func (t *table) without(sh *shelf, name string, at feed.Position) *resource {
	if t.onDemand != nil {
		if body, ok := t.onDemand(sh.kind.url, name); ok {
			return t.resource(sh, name, body, hashOf(body), at)
		}
	}
	if t.absent != nil {
		if body, ok := t.absent(sh.kind.url, name); ok {
			res := newMissing(name, body, at)
			res.since = t.since(sh.kind.url, body)
			return res
		}
	}
	return newMissing(name, nil, at)
}

// get returns what a name is answered by: nil if it is neither in the feed nor asked for by any stream. The read lock
// is held.
func (t *table) get(url, name string) *resource {
	if sh := t.shelves[url]; sh != nil {
		if e := sh.entries[name]; e != nil {
			return e.res
		}
	}
	return nil
}

// last returns what a removed name held, or nil. The read lock is held.
func (sh *shelf) last(name string) *resource {
	if e := sh.entries[name]; e != nil {
		return e.last
	}
	return nil
}

// has says whether the name is in the feed. The read lock is held.
func (sh *shelf) has(name string) bool {
	e := sh.entries[name]
	return e != nil && e.live
}

// all returns the live resources by name, shared by all wildcard streams. The read lock is held.
func (sh *shelf) all() []*resource {
	sh.picture.Lock()
	defer sh.picture.Unlock()
	if sh.picture.list == nil {
		list := make([]*resource, 0, sh.live)
		sh.picture.since = 0
		for _, e := range sh.entries {
			if e.live {
				list = append(list, e.res)
				sh.picture.since = max(sh.picture.since, e.res.since)
			}
		}
		slices.SortFunc(list, byName)
		sh.picture.list = list
	}
	return sh.picture.list
}

// highest is the highest since of the live resources. The read lock is held.
func (sh *shelf) highest() uint64 {
	sh.all()
	sh.picture.Lock()
	defer sh.picture.Unlock()
	return sh.picture.since
}

func byName(a, b *resource) int { return cmp.Compare(a.name, b.name) }
