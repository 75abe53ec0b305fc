package feed

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// BenchmarkCommitTo1000Cursors is the cost of a commit while a thousand readers in the process are woken by it, and of
// their reading it, beside the floor in the same loop: a thousand bare channels that get a value and give it up.
func BenchmarkCommitTo1000Cursors(b *testing.B) {
	for _, read := range []bool{false, true} {
		b.Run(map[bool]string{false: "wake", true: "wake and read"}[read], func(b *testing.B) {
			l := NewLog("c/x", Filter{}, Options{})
			l.Begin(1, []Change{change("a", "1")})
			var cursors []*Cursor
			var bare []chan struct{}
			for range 1000 {
				c := l.Cursor(l.Position())
				<-c.Wake()
				cursors = append(cursors, c)
				bare = append(bare, make(chan struct{}, 1))
			}
			var ours, floor time.Duration
			for i := range b.N {
				begun := time.Now()
				l.Commit(change("a", fmt.Sprint(i)))
				for _, c := range cursors {
					<-c.Wake()
					if read {
						c.Next()
					}
				}
				between := time.Now()
				for _, c := range bare {
					c <- struct{}{}
				}
				for _, c := range bare {
					<-c
				}
				ours, floor = ours+between.Sub(begun), floor+time.Since(between)
			}
			b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N), "ns/commit")
			b.ReportMetric(float64(floor.Nanoseconds())/float64(b.N), "ns/floor")
			b.ReportMetric(float64(ours)/float64(floor), "commit/floor")
		})
	}
}

// BenchmarkCommitToStreams is the cost of a commit in a set that a thousand streams look at, none of which has the
// feed open.
func BenchmarkCommitToStreams(b *testing.B) {
	set, err := OpenSet("", Options{})
	if err != nil {
		b.Fatal(err)
	}
	l := set.Log("c/x")
	l.Begin(1, nil)
	for range 1000 {
		set.addWatcher(newInbox())
	}
	for i := range b.N {
		l.Commit(change("a", fmt.Sprint(i)))
	}
}

// BenchmarkBytesPerEndpoint is what an endpoint takes in a log: slices of a hundred, and one each, beside the floor, a
// plain map of the same keys and values. An endpoint's encoded form is 40 bytes here, a slice adds its service's name.
func BenchmarkBytesPerEndpoint(b *testing.B) {
	for _, size := range []int{100, 1} {
		b.Run(fmt.Sprintf("%d a slice", size), func(b *testing.B) {
			const endpoints = 200_000
			var used, floor float64
			for range b.N {
				before := heap()
				plain := map[string][]byte{}
				for i := range endpoints / size {
					plain[fmt.Sprintf("EndpointSlice/service-%d/slice-0", i)] = make([]byte, 20+40*size)
				}
				floor = float64(heap()-before) / endpoints
				runtime.KeepAlive(plain)

				before = heap()
				l := NewLog("c/x", Filter{}, Options{})
				l.Begin(1, nil)
				for i := range endpoints / size {
					l.Commit(Change{"EndpointSlice", fmt.Sprintf("service-%d/slice-0", i), make([]byte, 20+40*size)})
				}
				used = float64(heap()-before) / endpoints
				runtime.KeepAlive(l)
			}
			b.ReportMetric(used, "B/endpoint")
			b.ReportMetric(used/floor, "log/map")
		})
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkStream is the cost of a commit over both halves, encoded in between.
func BenchmarkStream(b *testing.B) {
	from, _ := OpenSet("", Options{})
	to, _ := OpenSet("", Options{})
	l := from.Log("c/x")
	l.Begin(1, nil)
	w := &wired{t: &testing.T{}, from: from, to: to}
	w.connect()
	w.r.open("c/x", Filter{})
	w.settle()
	b.ReportAllocs()
	for i := range b.N {
		l.Commit(change(fmt.Sprint(i%100), fmt.Sprint(i)))
		w.settle()
	}
	if !equal(l, to) {
		b.Error("not equal")
	}
}
