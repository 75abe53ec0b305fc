package guard

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
)

// BenchmarkCheck is a write's way through the guard, Check and Release, beside the floor in the same run: what cannot
// be done without, one reading of both clocks and a count up and down.
func BenchmarkCheck(b *testing.B) {
	g := newBench(b, func(c *Config) { c.Clock, c.Observer = permit.SystemClock(), nil })
	clock := permit.SystemClock()
	g.granted(&permit.Permit{Asked: clock.Now(), Holds: time.Hour, Revision: 3, Maps: []*permitpb.Map{users(3, nil)}})
	for _, c := range []struct{ name, method string }{{"write", write}, {"read", read}} {
		b.Run(c.name, func(b *testing.B) {
			var headers [25][]string
			for i := range headers {
				headers[i] = []string{fmt.Sprint(i)}
			}
			const rounds = 250
			var count atomic.Int64
			var ours, floor time.Duration
			asked := clock.Now()
			b.ReportAllocs()
			for b.Loop() {
				begun := time.Now()
				for i := range rounds {
					d := g.Check(c.method, headers[i%25])
					if d.Reason != "" {
						b.Fatal(d.Reason)
					}
					d.Release()
				}
				between := time.Now()
				for range rounds {
					count.Add(1)
					if clock.Now().Sub(asked) > time.Hour {
						b.Fatal("an hour")
					}
					count.Add(-1)
				}
				ours, floor = ours+between.Sub(begun), floor+time.Since(between)
			}
			calls := float64(b.N) * rounds
			b.ReportMetric(float64(ours.Nanoseconds())/calls, "ns/check")
			b.ReportMetric(float64(floor.Nanoseconds())/calls, "ns/floor")
			b.ReportMetric(float64(ours)/float64(floor), "check/floor")
		})
	}
}

// BenchmarkGranted is what an answer costs once a second: the usual one, which renews, and one that changes every
// range.
func BenchmarkGranted(b *testing.B) {
	g := newBench(b, func(c *Config) { c.Observer = nil })
	for _, fresh := range []bool{false, true} {
		b.Run(map[bool]string{false: "renews", true: "changes"}[fresh], func(b *testing.B) {
			epoch := uint64(3)
			b.ReportAllocs()
			for b.Loop() {
				if fresh {
					epoch++
				}
				g.grant(epoch, users(epoch, nil))
			}
		})
	}
}

func TestCheckAllocatesNothing(t *testing.T) {
	g := newBench(t, func(c *Config) { c.Observer = nil })
	g.grant(3, users(3, nil))
	for _, shard := range []string{"7", "30"} {
		for _, method := range []string{write, read} {
			values := []string{shard}
			if n := testing.AllocsPerRun(100, func() {
				d := g.Check(method, values)
				d.Release()
			}); n != 0 {
				t.Errorf("%s of shard %s: %v allocations", method, shard, n)
			}
		}
	}
}
