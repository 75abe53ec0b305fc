package sim

import (
	"context"
	"hash/fnv"
	"strings"
	"sync"
	"time"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
)

// feeds is the oracle of feeds: what a holder shows is what the writer had at the position that the holder claims, and
// in one life of a holder positions only grow and leave nothing out.
type feeds struct {
	oracle *oracle
	mu     sync.Mutex
	// truth is the sum over the records at each position: the writers', and of the intent the first server's to get there.
	truth map[feed.ID]map[feed.Position]uint64
	// newest is where each writer stands.
	newest map[feed.ID]feed.Position
	// holders are who holds feeds now.
	holders map[string]*feed.Set
}

func newFeeds(o *oracle) *feeds {
	return &feeds{
		oracle: o, truth: map[feed.ID]map[feed.Position]uint64{}, newest: map[feed.ID]feed.Position{},
		holders: map[string]*feed.Set{},
	}
}

// feedOptions have deletions forgotten soon, so that readers come too late for them.
func feedOptions(o *feed.Options) {
	o.Tombstones = feed.TombstonePolicy{MaxCount: 4, MaxAge: time.Minute}
}

func recordSum(kind, key string, value []byte) uint64 {
	h := fnv.New64a()
	for _, part := range [][]byte{[]byte(kind), []byte(key), value} {
		_, _ = h.Write(part)
		_, _ = h.Write([]byte{0})
	}
	return h.Sum64()
}

// wrote notes a writer's state. Holders of mu call it, together with the write.
func (f *feeds) wrote(id feed.ID, at feed.Position, sum uint64) {
	if f.truth[id] == nil {
		f.truth[id] = map[feed.Position]uint64{}
	}
	f.truth[id][at] = sum
	f.newest[id] = at
}

// reader is what a holder shows of one feed, read as it changes.
type reader struct {
	cursor  *feed.Cursor
	records map[[2]string]uint64
	sum     uint64
	at      feed.Position
}

// follow reads everything that a holder shows until ctx ends.
func (f *feeds) follow(ctx context.Context, who string, set *feed.Set) {
	f.mu.Lock()
	f.holders[who] = set
	f.mu.Unlock()
	watch := set.Watch()
	defer watch.Close()
	readers := map[feed.ID]*reader{}
	for {
		for _, id := range watch.Changed() {
			l, ok := set.Get(id)
			if !ok {
				continue
			}
			r := readers[id]
			if r == nil {
				r = &reader{cursor: l.Cursor(feed.Position{}), records: map[[2]string]uint64{}}
				defer r.cursor.Close()
				readers[id] = r
			}
			for b, ok := r.cursor.Next(); ok; b, ok = r.cursor.Next() {
				f.shows(who, id, r, b)
			}
		}
		select {
		case <-ctx.Done():
			f.mu.Lock()
			if f.holders[who] == set {
				delete(f.holders, who)
			}
			f.mu.Unlock()
			return
		case <-watch.C():
		}
	}
}

func (f *feeds) shows(who string, id feed.ID, r *reader, b feed.Batch) {
	switch {
	case b.To.Before(r.at):
		f.oracle.violated("%s: feed %s went back from %s to %s", who, id, r.at, b.To)
	case !b.Reset && b.From != r.at:
		f.oracle.violated("%s: feed %s: a step from %s to %s came at %s", who, id, b.From, b.To, r.at)
	}
	if b.Reset {
		clear(r.records)
		r.sum = 0
	}
	for _, record := range b.Records {
		key := [2]string{record.Kind, record.Key}
		r.sum ^= r.records[key]
		delete(r.records, key)
		if record.Value != nil {
			is := recordSum(record.Kind, record.Key, record.Value)
			r.records[key] = is
			r.sum ^= is
		}
	}
	r.at = b.To
	f.mu.Lock()
	defer f.mu.Unlock()
	is, known := f.truth[id][b.To]
	switch {
	case !known && id == feed.IntentID:
		if f.truth[id] == nil {
			f.truth[id] = map[feed.Position]uint64{}
		}
		f.truth[id][b.To] = r.sum
		if f.newest[id].Before(b.To) {
			f.newest[id] = b.To
		}
	case !known:
		f.oracle.violated("%s: feed %s is at %s, where its writer never was", who, id, b.To)
	case is != r.sum:
		f.oracle.violated("%s: feed %s at %s is not what its writer had there", who, id, b.To)
	}
	f.oracle.count("steps of feeds compared")
}

// converged says who is behind the writers, "" when nobody is.
func (f *feeds) converged() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for who, set := range f.holders {
		for id, at := range f.newest {
			if _, source, _ := model.SplitFeedID(id); source == model.ReportsSource && strings.HasPrefix(who, "relay.") {
				continue // relays do without
			}
			l, ok := set.Get(id)
			if !ok || l.Position() != at {
				return who + " does not come to the newest of feed " + string(id)
			}
		}
	}
	return ""
}

// settled waits for all to hold the newest.
func (f *feeds) settled(within time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if !await(ctx, 200*time.Millisecond, func() bool { return f.converged() == "" }) {
		f.oracle.violated("%s within %s", f.converged(), within)
	}
}
