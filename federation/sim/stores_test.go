package sim

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"pentad.dev/pentad/dev/sample/ledger"
	"pentad.dev/pentad/dev/sample/ledger/ledgerpb"
	"pentad.dev/pentad/unitization/guard"
)

// stores is the oracle of units: no shard has two writers, and no acknowledged write is lost.
type stores struct {
	mu     sync.Mutex
	dirs   map[string]string // of the members, by center
	writes []write
}

// write is one that a guard let through.
type write struct {
	id    string
	shard int
	cell  string
	since uint64
	// The guard let it in between asked and admitted.
	asked, admitted time.Duration
	acknowledged    bool
}

func (s *stores) set(center, dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirs[center] = dir
}

// shardsWritten are the shards that are written: two of the unit whose data is in the store, and one of the other.
var shardsWritten = []int{0, 4, 9}

// writeEvery is the mean time between two attempts to write a shard in one center.
const writeEvery = 700 * time.Millisecond

// write writes to a shard through the guard of a center whenever it lets it.
func (s *stores) write(ctx context.Context, e *estate, guards map[string]*guard.Guard, db *ledger.Client, center string, shard int) {
	rnd := rand.New(rand.NewPCG(e.seed, uint64(e.now())+uint64(shard)))
	for n := 0; ctx.Err() == nil; n++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(rnd.Int64N(int64(2 * cmp.Or(e.plant.writes, writeEvery))))):
		}
		unit := "rz01"
		if shard >= 5 {
			unit = "rz02"
		}
		w := write{id: fmt.Sprintf("%d/%d/%s/%d", shard, n, center, e.now()), shard: shard, asked: e.now()}
		d := guards[unit].Check("/sample/Write", []string{strconv.Itoa(shard)})
		if d.Reason != "" {
			continue
		}
		w.admitted, w.cell, w.since = e.now(), d.Cell, d.Since
		if unit == "rz01" {
			within, cancel := context.WithTimeout(ctx, 2*time.Second)
			_, err := db.Append(within, &ledgerpb.Write{Id: w.id, Shard: uint32(shard), Key: center, Since: w.since})
			cancel()
			w.acknowledged = err == nil
		}
		d.Release()
		s.mu.Lock()
		s.writes = append(s.writes, w)
		s.mu.Unlock()
		e.oracle.count("writes that guards let in")
		if w.acknowledged {
			e.oracle.count("writes that the store acknowledged")
		}
	}
}

// opened sees that every shard is written again when all faults are over: no switchover, done or given up, left one closed.
func (e *estate) opened() {
	within, cancel := context.WithTimeout(context.Background(), settles)
	defer cancel()
	since, closed := e.now(), map[int]bool{}
	written := func() bool {
		e.stores.mu.Lock()
		defer e.stores.mu.Unlock()
		for _, shard := range shardsWritten {
			closed[shard] = true
		}
		for _, w := range slices.Backward(e.stores.writes) {
			if w.asked < since {
				break
			}
			if w.acknowledged || w.shard >= 5 {
				delete(closed, w.shard)
			}
		}
		return len(closed) == 0
	}
	if !await(within, time.Second, written) {
		e.oracle.violated("shards %v take no writes %s after the last fault", slices.Sorted(maps.Keys(closed)), settles)
	}
}

// judge says what was violated.
func (s *stores) judge(o *oracle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.e.units && len(s.writes) == 0 && o.quiet() {
		o.violated("no guard let any write in")
	}
	s.apart(o)
	s.kept(o)
}

// apart: of each shard, all that was let in under one epoch of its range came before everything that was let in under a
// later one.
func (s *stores) apart(o *oracle) {
	type key struct {
		shard int
		since uint64
	}
	first, last, cells := map[key]time.Duration{}, map[key]time.Duration{}, map[key]string{}
	var all []key
	for _, w := range s.writes {
		k := key{w.shard, w.since}
		if at, ok := first[k]; !ok || w.admitted < at {
			if !ok {
				all = append(all, k)
			}
			first[k] = w.admitted
		}
		last[k], cells[k] = max(last[k], w.asked), w.cell
	}
	slices.SortFunc(all, func(a, b key) int { return cmp.Or(a.shard-b.shard, cmp.Compare(a.since, b.since)) })
	for i := 1; i < len(all); i++ {
		a, b := all[i-1], all[i]
		if a.shard == b.shard && last[a] > first[b] {
			o.violated("shard %d: %s let a write in under epoch %d at %s, after %s did under epoch %d at %s", a.shard, cells[a], a.since,
				last[a], cells[b], b.since, first[b])
		}
	}
}

// kept: the member that holds the most has each acknowledged write once, and its tokens only grow.
func (s *stores) kept(o *oracle) {
	var longest []ledger.Entry
	for _, center := range clusters {
		entries, err := ledger.ReadLog(s.dirs[center])
		if err != nil {
			continue
		}
		at := func(e []ledger.Entry) (token, index uint64) {
			if len(e) == 0 {
				return 0, 0
			}
			return e[len(e)-1].Token, e[len(e)-1].Index
		}
		token, index := at(entries)
		if t, i := at(longest); token > t || token == t && index > i {
			longest = entries
		}
	}
	times := map[string]int{}
	for i, e := range longest {
		if e.ID != "" {
			times[e.ID]++
		}
		if i > 0 && e.Token < longest[i-1].Token {
			o.violated("the store's log goes back from token %d to %d at %d", longest[i-1].Token, e.Token, e.Index)
		}
	}
	for _, w := range s.writes {
		if w.acknowledged && times[w.id] != 1 {
			o.violated("the acknowledged write %s of epoch %d is in the store's log %d times", w.id, w.since, times[w.id])
			return
		}
	}
}
