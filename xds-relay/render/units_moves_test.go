package render

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// traffic calls until it is stopped, and counts what became of the calls.
type traffic struct {
	conn    *grpc.ClientConn
	path    string
	stop    atomic.Bool
	running sync.WaitGroup

	mu       sync.Mutex
	answered map[string]int
	// first is when an answer came first, last when a call began that got it, by cell or status.
	first, last map[string]time.Time
}

func startTraffic(conn *grpc.ClientConn, path, shard string) *traffic {
	tr := &traffic{conn: conn, path: path,
		answered: map[string]int{}, first: map[string]time.Time{}, last: map[string]time.Time{}}
	for range 4 {
		tr.running.Go(func() {
			for !tr.stop.Load() {
				began := time.Now()
				got, err := send(conn, path, HeaderShard, shard)
				if err != nil {
					got = status.Code(err).String()
				}
				tr.mu.Lock()
				if tr.answered[got]++; tr.answered[got] == 1 {
					tr.first[got] = time.Now()
				}
				if began.After(tr.last[got]) {
					tr.last[got] = began
				}
				tr.mu.Unlock()
			}
		})
	}
	return tr
}

// until waits for some more answers from a cell, or of a status.
func (tr *traffic) until(t *testing.T, answer string) {
	t.Helper()
	count := func() int {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		return tr.answered[answer]
	}
	const some = 20
	had := count()
	for deadline := time.Now().Add(patience); count() < had+some; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d more answers of %d that are %s", tr.path, count()-had, some, answer)
		}
	}
}

// turns says that no call that began after the first new answer got the old one.
func (tr *traffic) turns(t *testing.T, since time.Time, from, to string) {
	t.Helper()
	first, last := tr.first[to].Sub(since), tr.last[from].Sub(since)
	t.Logf("%s: the first answer %s after %v, the last call with %s began after %v", tr.path, to, first, from, last)
	if last > first {
		t.Errorf("%s: a call that began after %v got %s; the first %s was there after %v", tr.path, last, from, to, first)
	}
}

// end stops the calls and returns what answered, sorted.
func (tr *traffic) end() []string {
	tr.stop.Store(true)
	tr.running.Wait()
	var out []string
	for answer := range tr.answered {
		out = append(out, answer)
	}
	slices.Sort(out)
	return out
}

func TestAFreezeRefusesWritesAtOnceWhileReadsPass(t *testing.T) {
	r := newServed(t, hangzhou)
	r.unitization("users", users("orders"))
	r.own("users", steady)
	r.render()
	conn := r.dial("xds:///orders")
	lands(t, conn, writePath, "rz01.hz-a", HeaderShard, "7")
	writes, reads := startTraffic(conn, writePath, "7"), startTraffic(conn, readPath, "7")
	others := startTraffic(conn, writePath, "30")
	for _, tr := range []*traffic{writes, reads, others} {
		tr.until(t, "rz01.hz-a")
	}
	start := time.Now()
	r.own("users", switchover[1])
	r.render()
	writes.until(t, "FailedPrecondition")
	if got := fmt.Sprint(writes.end()); got != "[FailedPrecondition rz01.hz-a]" {
		t.Fatalf("writes: %s", got)
	}
	writes.turns(t, start, "rz01.hz-a", "FailedPrecondition")
	for _, tr := range []*traffic{reads, others} {
		if got := fmt.Sprint(tr.end()); got != "[rz01.hz-a]" {
			t.Errorf("%s of what is not frozen, or a read: %s", tr.path, got)
		}
	}
}

func TestASwitchoverMovesCallsWithoutAFailedRead(t *testing.T) {
	r := newServed(t, hangzhou)
	r.unitization("users", users("orders"))
	r.own("users", steady)
	r.render()
	conn := r.dial("xds:///orders")
	lands(t, conn, writePath, "rz01.hz-a", HeaderShard, "7")
	reads := startTraffic(conn, readPath, "7")
	for i, status := range switchover[1:] {
		reads.until(t, []string{"rz01.hz-a", "rz01.hz-a", "rz03.sh-a"}[i])
		r.own("users", status)
		r.render()
	}
	t.Logf("open at its new owner after %v", lands(t, conn, writePath, "rz03.sh-a", HeaderShard, "7"))
	if got := fmt.Sprint(reads.end()); got != "[rz01.hz-a rz03.sh-a]" {
		t.Errorf("reads: %s", got)
	}
}

// The routes of a move without a freeze in between, as after a missed record, take every call to one side or the other:
// the new cell has been named beforehand.
func TestAMoveWithoutAFreezeFailsNoCall(t *testing.T) {
	r := newServed(t, hangzhou)
	r.unitization("users", users("orders"))
	r.own("users", steady)
	r.render()
	conn := r.dial("xds:///orders")
	lands(t, conn, writePath, "rz01.hz-a", HeaderShard, "7")
	lands(t, conn, writePath, "rz01.sh-a", HeaderCell, "rz01.sh-a") // named beforehand, connected beforehand
	writes := startTraffic(conn, writePath, "7")
	writes.until(t, "rz01.hz-a")
	start := time.Now()
	r.own("users", owned(8, "0-49 rz01 sh-a", "50-99 rz03 sh-a sh-b"))
	r.render()
	writes.until(t, "rz01.sh-a")
	if got := fmt.Sprint(writes.end()); got != "[rz01.hz-a rz01.sh-a]" {
		t.Fatalf("writes: %s", got)
	}
	writes.turns(t, start, "rz01.hz-a", "rz01.sh-a")
}
