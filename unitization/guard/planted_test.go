package guard

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pentad.dev/pentad/unitization/permit/permitpb"
)

// TestPlantedBugsAreFound breaks one rule of ownership after the other: a test that does not notice shows nothing.
func TestPlantedBugsAreFound(t *testing.T) {
	var table strings.Builder
	for _, bug := range []struct {
		rule   int
		broken breakage
		name   string
		find   func(testing.TB, breakage) error
	}{
		{1, brokenForever, "a permit that has ended is taken for one that holds", permitEnds},
		{2, brokenCountsFromAnswer, "a permit is counted from its answer", countsFromAsk},
		{2, brokenMonotonicOnly, "a permit is counted on a clock that stops in a suspend", clocksApart},
		{6, brokenClosedWithFlights, "a freeze is named closed with writes in flight", drains},
		{6, brokenCountsAfterCheck, "a write is counted after its check", between},
		{6, brokenCountsAfterCheck, "a write is counted after its check (many at once)", hammered},
		{6, brokenClosedWithFlights, "a freeze is named closed with writes in flight (many at once)", hammered},
		{6, brokenGoesBack, "an older relay's map is taken", movesToOlderRelay},
		{7, brokenFirstShard, "the first of two shards is taken", oneShard},
		{7, brokenUndeclaredReads, "a method of no table is a read", undeclaredWrites},
		{7, brokenStreamStart, "a stream is checked at its start only", eachMessage},
		{8, brokenAnyCell, "any active cell is taken for the own", onlyOwnCell},
	} {
		t.Run(bug.name, func(t *testing.T) {
			if err := bug.find(t, 0); err != nil {
				t.Fatalf("found without a bug: %v", err)
			}
			err := bug.find(t, bug.broken)
			if err == nil {
				t.Fatal("not found")
			}
			fmt.Fprintf(&table, "rule %d  %-66s %.110s\n", bug.rule, bug.name, err)
		})
	}
	t.Logf("planted bugs and what found them\n%s", table.String())
}

// hammered lets many goroutines write while ranges freeze, move and come back, and sees that no write which was let
// through under an earlier epoch is unfinished when a freeze is named closed.
func hammered(t testing.TB, broken breakage) error {
	const writers, freezes = 4, 200
	var named atomic.Uint64
	var violation atomic.Pointer[error]
	b := newBench(t, func(c *Config) {
		c.broken, c.Observer = broken, nil
		if broken != 0 { // the window is a few instructions wide: make it worth a look
			c.paused = func() {
				if rand.N(4) == 0 {
					time.Sleep(time.Duration(rand.N(int64(100 * time.Microsecond))))
				}
			}
		}
	})
	epoch := uint64(3)
	b.grant(epoch, users(epoch, nil))
	stop := make(chan struct{})
	var passed, refused atomic.Uint64
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			for {
				select {
				case <-stop:
					return
				default:
				}
				d := b.write(fmt.Sprint(random.IntN(25)))
				if d.Reason != "" {
					refused.Add(1)
					runtime.Gosched()
					continue
				}
				passed.Add(1)
				for range random.IntN(3) {
					time.Sleep(time.Microsecond)
				}
				// Not released yet: whatever was named closed before this moment did not count this write.
				if f := named.Load(); f > d.Since {
					err := fmt.Errorf("a write let through under since %d was in flight when freeze %d was named closed", d.Since, f)
					violation.Store(&err)
				}
				d.Release()
			}
		})
	}
	ends := time.Now().Add(5 * patience)
	for range freezes {
		if violation.Load() != nil {
			break
		}
		epoch++
		b.grant(epoch, users(epoch, frozen))
		for closed := b.closed(); len(closed) == 0; closed = b.closed() {
			if time.Now().After(ends) {
				close(stop)
				wg.Wait()
				return fmt.Errorf("freeze %d does not close: %d writes in flight", epoch, b.InFlight())
			}
			select {
			case <-b.wakes:
			case <-time.After(patience):
				close(stop)
				wg.Wait()
				return fmt.Errorf("freeze %d: no ask when its last write had ended", epoch)
			}
		}
		named.Store(epoch)
		epoch++
		b.grant(epoch, users(epoch, nil))
		time.Sleep(50 * time.Microsecond)
	}
	close(stop)
	wg.Wait()
	if err := violation.Load(); err != nil {
		return *err
	}
	if b.InFlight() != 0 || passed.Load() == 0 || refused.Load() == 0 {
		return fmt.Errorf("%d in flight in the end, %d passed, %d refused", b.InFlight(), passed.Load(), refused.Load())
	}
	t.Logf("%d freezes, %d writes passed, %d refused", freezes, passed.Load(), refused.Load())
	return nil
}

// TestNoWriteUnderAnOldEpochOutlivesItsFreezeOverManySplits is hammered with ranges that split and join at random, each
// with a freeze of its own.
func TestNoWriteUnderAnOldEpochOutlivesItsFreezeOverManySplits(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Observer = nil })
	var named [100]atomic.Uint64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	b.grant(1, split(1, nil, nil))
	for w := range 4 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 2))
			for {
				select {
				case <-stop:
					return
				default:
				}
				shard := random.IntN(100)
				d := b.write(fmt.Sprint(shard))
				if d.Reason == "" {
					if f := named[shard].Load(); f > d.Since {
						t.Errorf("shard %d: let through under since %d after freeze %d was named closed", shard, d.Since, f)
					}
					d.Release()
				}
			}
		})
	}
	random := rand.New(rand.NewPCG(1, 3))
	since := make([]uint64, 100)
	ice := make([]bool, 100)
	for epoch := uint64(2); epoch < 1500; epoch++ {
		from := random.IntN(100)
		to := from + random.IntN(100-from)
		for shard := from; shard <= to; shard++ {
			since[shard], ice[shard] = epoch, epoch%2 == 0
		}
		b.grant(epoch, split(epoch, since, ice))
		for _, freeze := range b.closed() {
			for shard := range since {
				if since[shard] == freeze && ice[shard] {
					named[shard].Store(freeze)
				}
			}
		}
	}
	close(stop)
	wg.Wait()
	if n := b.InFlight(); n != 0 {
		t.Errorf("%d in flight in the end", n)
	}
}

// split is a map whose neighbours differ.
func split(epoch uint64, since []uint64, ice []bool) *permitpb.Map {
	m := &permitpb.Map{Unitization: "users", Shards: 100, Epoch: epoch}
	for shard := range uint32(100) {
		r := &permitpb.Range{From: shard, To: shard, Unit: "rz01", Cells: []string{ownCell}, Since: 1}
		if since != nil && since[shard] > 0 {
			r.Since = since[shard]
			if ice[shard] {
				frozen(r)
			}
		}
		if n := len(m.Ranges); n > 0 && m.Ranges[n-1].Since == r.Since {
			m.Ranges[n-1].To = shard
			continue
		}
		m.Ranges = append(m.Ranges, r)
	}
	return m
}
