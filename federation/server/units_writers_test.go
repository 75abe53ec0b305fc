package server

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"pentad.dev/pentad/dev/sample/ledger"
	"pentad.dev/pentad/dev/sample/ledger/ledgerpb"
	"pentad.dev/pentad/unitization/fence"
	"pentad.dev/pentad/unitization/guard"
)

// write is one that a guard let through.
type write struct {
	id    string
	shard int
	cell  string
	since uint64
	// The guard let it in between asked and admitted, and it was in flight until released.
	asked, admitted, released time.Time
	// acknowledged by the store.
	acknowledged bool
}

// writers write to shards 0 and 4 of rz01 and 9 of rz02 for as long as they run, each through whichever guard lets it.
type writers struct {
	u     *units
	store *ledger.Client
	stop  func()

	mu     sync.Mutex
	writes []write
}

func (u *units) write() *writers {
	u.t.Helper()
	w := &writers{u: u}
	if len(u.members) == 0 {
		config := ledger.ClientConfig{Store: "db", Patience: 50 * time.Millisecond}
		for _, name := range centers() {
			config.Members = append(config.Members, ledger.Peer{Member: name, Address: u.sites[name].ports["ledger"]})
		}
		var err error
		w.store, err = ledger.NewClient(config)
		check(u.t, err)
		u.t.Cleanup(w.store.Close)
	}
	w.stop = u.runs("writers", func(ctx context.Context) error {
		var group sync.WaitGroup
		for _, shard := range []int{0, 4, 9} {
			group.Go(func() { w.run(ctx, shard) })
		}
		group.Wait()
		return nil
	})
	return w
}

func (w *writers) run(ctx context.Context, shard int) {
	for n := 0; ctx.Err() == nil; n++ {
		for _, name := range centers() {
			w.try(ctx, name, shard, fmt.Sprintf("%d/%d/%s", shard, n, name))
		}
		time.Sleep(time.Millisecond)
	}
}

func unitOf(shard int) string {
	if shard < 5 {
		return "rz01"
	}
	return "rz02"
}

// try writes through the guard of a center.
func (w *writers) try(ctx context.Context, center string, shard int, id string) {
	one := write{id: id, shard: shard, asked: time.Now()}
	d := w.u.sites[center].guards[unitOf(shard)].Check("/sample/Write", []string{strconv.Itoa(shard)})
	if d.Reason != "" {
		return
	}
	one.admitted, one.cell, one.since = time.Now(), d.Cell, d.Since
	one.acknowledged = w.append(ctx, center, one)
	one.released = time.Now()
	d.Release()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes = append(w.writes, one)
}

// admits waits until the guard of a center lets a write in, which is in flight until it is released.
func (u *units) admits(center string, shard int) (d guard.Decision, asked time.Time) {
	u.t.Helper()
	eventually(u.t, "permit of the guard in "+center, patient, func() bool {
		asked = time.Now()
		d = u.sites[center].guards[unitOf(shard)].Check("/sample/Write", []string{strconv.Itoa(shard)})
		return d.Reason == ""
	})
	return d, asked
}

// open begins a write through the guard of a center, which stays in flight until it is ended.
func (w *writers) open(center string, shard int) (end func()) {
	w.u.t.Helper()
	d, asked := w.u.admits(center, shard)
	one := write{id: "slow", shard: shard, asked: asked}
	one.admitted, one.cell, one.since = time.Now(), d.Cell, d.Since
	return func() {
		one.released = time.Now()
		d.Release()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.writes = append(w.writes, one)
	}
}

func (w *writers) append(ctx context.Context, center string, one write) bool {
	if unitOf(one.shard) != "rz01" {
		return true
	}
	if w.store == nil {
		for _, m := range w.u.members {
			if m.takes() {
				return true
			}
		}
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, err := w.store.Append(ctx, &ledgerpb.Write{Id: one.id, Shard: uint32(one.shard), Key: center, Since: one.since})
	return err == nil
}

func (w *writers) all() []write {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.writes)
}

// flows waits until writes of a shard are acknowledged through a cell, from now on.
func (w *writers) flows(shard int, cell string) {
	w.u.t.Helper()
	now := time.Now()
	eventually(w.u.t, fmt.Sprintf("write of shard %d through %s", shard, cell), patient, func() bool {
		return slices.ContainsFunc(w.all(), func(one write) bool {
			return one.shard == shard && one.cell == cell && one.acknowledged && one.asked.After(now)
		})
	})
}

// apart is what guards did that they must not: of each shard, all that was let in under one epoch of its range came
// before everything that was let in under a later one; drained also says that nothing was in flight any more.
func apart(writes []write, drained bool) error {
	type span struct {
		since      uint64
		cells      string
		first      time.Time // admitted, at the latest
		last, gone time.Time // admitted, at the earliest; released
	}
	shards := map[int]map[uint64]*span{}
	for _, w := range writes {
		if shards[w.shard] == nil {
			shards[w.shard] = map[uint64]*span{}
		}
		s := shards[w.shard][w.since]
		if s == nil {
			s = &span{since: w.since, cells: w.cell, first: w.admitted}
			shards[w.shard][w.since] = s
		}
		if w.admitted.Before(s.first) {
			s.first = w.admitted
		}
		s.last, s.gone = latest(s.last, w.asked), latest(s.gone, w.released)
	}
	for shard, spans := range shards {
		var before *span
		for _, since := range slices.Sorted(maps.Keys(spans)) {
			s := spans[since]
			switch {
			case before == nil:
			case before.last.After(s.first):
				return fmt.Errorf("shard %d: %s let a write in under epoch %d, %s after %s did under epoch %d", shard, before.cells,
					before.since, before.last.Sub(s.first), s.cells, s.since)
			case drained && before.gone.After(s.first):
				return fmt.Errorf("shard %d: a write was in flight behind %s under epoch %d, %s after %s let one in under epoch %d",
					shard, before.cells, before.since, before.gone.Sub(s.first), s.cells, s.since)
			}
			before = s
		}
	}
	return nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// oneOpen is an error when two members of a store took writes at a time.
func oneOpen(members map[string]*member) error {
	var all []opening
	for _, m := range members {
		all = append(all, m.history()...)
	}
	slices.SortFunc(all, func(a, b opening) int { return a.from.Compare(b.from) })
	for i := 1; i < len(all); i++ {
		if before := all[i-1]; before.until.IsZero() || before.until.After(all[i].from) {
			return fmt.Errorf("%s took writes under token %d while %s did under %d", all[i].member, all[i].token, before.member,
				before.token)
		}
	}
	return nil
}

// kept sees that each acknowledged write of rz01 is in a member's log, once, and nothing twice.
func (w *writers) kept(t *testing.T, primary string) {
	t.Helper()
	entries, err := ledger.ReadLog(w.u.sites[primary].dir)
	check(t, err)
	times := map[string]int{}
	for _, e := range entries {
		if e.ID != "" {
			times[e.ID]++
		}
	}
	n := 0
	for _, one := range w.all() {
		if unitOf(one.shard) != "rz01" || !one.acknowledged {
			continue
		}
		if n++; times[one.id] != 1 {
			t.Errorf("acknowledged write %s is in the log of %s %d times", one.id, primary, times[one.id])
		}
	}
	for id, is := range times {
		if is > 1 {
			t.Errorf("write %s is in the log of %s %d times", id, primary, is)
		}
	}
	if n == 0 {
		t.Error("nothing was acknowledged")
	}
	t.Logf("%d acknowledged writes, each once in the log of %s", n, primary)
}

// silence is the longest time between two acknowledged writes of a shard.
func (w *writers) silence(shard int) (longest time.Duration) {
	var last time.Time
	for _, one := range w.all() {
		if one.shard != shard || !one.acknowledged {
			continue
		}
		if !last.IsZero() {
			longest = max(longest, one.released.Sub(last))
		}
		last = one.released
	}
	return longest
}

// everything are the actions of an order.
var everything = []fence.Action{fence.Fence, fence.CatchUp, fence.Promote, fence.Open, fence.Unfence}
