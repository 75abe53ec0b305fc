package serve

import (
	"slices"
	"time"

	"pentad.dev/pentad/federation/feed"
)

// interest is a set of names of one type that streams ask for. Streams that ask for the same share it: the names,
// their places in the index and the hash of their contents are kept once.
type interest struct {
	url   string
	key   uint64   // hash of the names, whatever their order
	names []string // sorted
	// sum is the weight of what the names are answered by now: the version.
	sum uint64
	// since is the highest of what they are answered by.
	since   uint64
	members map[*inbox]struct{}
}

// has says whether the name is in the set. Nil is the empty set.
func (s *interest) has(name string) bool {
	if s == nil {
		return false
	}
	_, ok := slices.BinarySearch(s.names, name)
	return ok
}

// same says whether the names, in any order, are those of the set. Clients repeat all names with every
// acknowledgement, so it must not cost a sort.
func (s *interest) same(names []string) bool {
	if s == nil {
		return len(names) == 0
	}
	return len(names) == len(s.names) && hashNames(names) == s.key
}

// exchange moves a stream of one type from one set of names to another, and in or out of the wildcard. Names are
// sorted and unique; no names is a nil interest.
func (t *table) exchange(ib *inbox, url string, old *interest, names []string, wildcard bool) *interest {
	t.mu.Lock()
	defer t.mu.Unlock()
	sh := t.shelf(url)
	if wildcard {
		sh.wild[ib] = struct{}{}
	} else {
		delete(sh.wild, ib)
	}
	if old != nil && slices.Equal(old.names, names) {
		return old
	}
	set := t.enter(sh, ib, names)
	if old != nil {
		sh.leave(ib, old)
	}
	return set
}

func (t *table) enter(sh *shelf, ib *inbox, names []string) *interest {
	if len(names) == 0 {
		return nil
	}
	key := hashNames(names)
	for _, set := range sh.sets[key] {
		if slices.Equal(set.names, names) {
			set.members[ib] = struct{}{}
			return set
		}
	}
	set := &interest{url: sh.kind.url, key: key, names: names, members: map[*inbox]struct{}{ib: {}}}
	for _, name := range names {
		e := sh.entries[name]
		if e == nil {
			e = &entry{res: t.without(sh, name, feed.Position{})}
			sh.entries[name] = e
		}
		if e.sets == nil {
			e.sets = make(map[*interest]struct{}, 1)
		}
		e.sets[set] = struct{}{}
		set.sum += e.res.weight
		set.since = max(set.since, e.res.since)
	}
	sh.sets[key] = append(sh.sets[key], set)
	return set
}

// replace keeps a set's hash and since up to date when one of its names is answered by something else.
func (t *table) replace(set *interest, old, now *resource) {
	set.sum += now.weight - old.weight
	switch {
	case now.since >= set.since:
		set.since = now.since
	case old.since == set.since && !t.broken.sinceSticks:
		t.sunk[set] = struct{}{}
	}
}

// settle looks for the highest since of the sets that may have lost theirs: rare, as epochs only grow, and once a
// batch for each set, however much of it went.
func (t *table) settle() {
	for set := range t.sunk {
		sh := t.shelves[set.url]
		set.since = 0
		for _, name := range set.names {
			set.since = max(set.since, sh.entries[name].res.since)
		}
	}
	clear(t.sunk)
}

// leave takes a stream out of a set; what nobody asks for any more, and does not exist, is forgotten.
func (sh *shelf) leave(ib *inbox, set *interest) {
	delete(set.members, ib)
	if len(set.members) > 0 {
		return
	}
	for _, name := range set.names {
		e := sh.entries[name]
		delete(e.sets, set)
		if len(e.sets) == 0 {
			e.sets = nil
			if !e.live {
				delete(sh.entries, name)
			}
		}
	}
	rest := slices.DeleteFunc(sh.sets[set.key], func(other *interest) bool { return other == set })
	if len(rest) == 0 {
		delete(sh.sets, set.key)
		return
	}
	sh.sets[set.key] = rest
}

// hashNames adds up the names' hashes, so order does not matter.
func hashNames(names []string) uint64 {
	var sum uint64
	for _, name := range names {
		sum += weigh(name, 0, false)
	}
	return sum
}

// inbox is where commits leave word for one stream: which names changed since it last looked. It is written under the
// table's write lock and drained by the stream under its read lock, so it needs none of its own; a name is in it once
// however often it changed, so a slow stream costs no more than what it asked for.
type inbox struct {
	// wake receives after marks were left; several may be one signal.
	wake  chan struct{}
	marks map[string]*mark
	full  bool // there are marks
}

// mark is what changed in one type; empty once it was drained.
type mark struct {
	names map[string]struct{}
	// since is when the oldest change was seen.
	since time.Time
}

func newInbox() *inbox {
	return &inbox{wake: make(chan struct{}, 1), marks: make(map[string]*mark)}
}

// mark notes a change and adds the inbox to those to be woken if it was empty.
func (ib *inbox) mark(url, name string, now time.Time, woken []*inbox) []*inbox {
	if !ib.full {
		ib.full = true
		woken = append(woken, ib)
	}
	m := ib.marks[url]
	if m == nil {
		m = &mark{names: make(map[string]struct{}, 1)}
		ib.marks[url] = m
	}
	if len(m.names) == 0 {
		m.since = now
	}
	m.names[name] = struct{}{}
	return woken
}

// signal wakes the stream without waiting for it.
func (ib *inbox) signal() {
	select {
	case ib.wake <- struct{}{}:
	default:
	}
}
