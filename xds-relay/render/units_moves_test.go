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
	// first and last are when each answer came first and last, by cell or status.
	first, last map[string]time.Time
}

func startTraffic(conn *grpc.ClientConn, path, shard string) *traffic {
	tr := &traffic{conn: conn, path: path,
		answered: map[string]int{}, first: map[string]time.Time{}, last: map[string]time.Time{}}
	for range 4 {
		tr.running.Go(func() {
			for !tr.stop.Load() {
				got, err := send(conn, path, HeaderShard, shard)
				if err != nil {
					got = status.Code(err).String()
				}
				tr.mu.Lock()
				if tr.answered[got]++; tr.answered[got] == 1 {
					tr.first[got] = time.Now()
				}
				tr.last[got] = time.Now()
				tr.mu.Unlock()
			}
		})
	}
	return tr
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
	time.Sleep(50 * time.Millisecond)
	start := time.Now()
	r.own("users", switchover[1])
	r.render()
	time.Sleep(200 * time.Millisecond)
	if got := fmt.Sprint(writes.end()); got != "[FailedPrecondition rz01.hz-a]" {
		t.Fatalf("writes: %s", got)
	}
	first, last := writes.first["FailedPrecondition"].Sub(start), writes.last["rz01.hz-a"].Sub(start)
	t.Logf("first write refused after %v, last accepted after %v", first, last)
	if first > atOnce || last > atOnce {
		t.Errorf("first write refused after %v, last accepted after %v", first, last)
	}
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
		time.Sleep(20 * time.Millisecond)
		r.own("users", status)
		r.render()
		if i == 2 {
			t.Logf("open at its new owner after %v", lands(t, conn, writePath, "rz03.sh-a", HeaderShard, "7"))
		}
	}
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
	time.Sleep(20 * time.Millisecond)
	start := time.Now()
	r.own("users", owned(8, "0-49 rz01 sh-a", "50-99 rz03 sh-a sh-b"))
	r.render()
	time.Sleep(200 * time.Millisecond)
	if got := fmt.Sprint(writes.end()); got != "[rz01.hz-a rz01.sh-a]" {
		t.Fatalf("writes: %s", got)
	}
	moved := writes.first["rz01.sh-a"].Sub(start)
	if t.Logf("moved after %v", moved); moved > atOnce {
		t.Errorf("moved after %v", moved)
	}
}
