package consensus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// writers write numbers, each client its own register and each number once, and remember what was acknowledged.
type writers struct {
	c      *cluster
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu     sync.Mutex
	acked  map[string]int    // by register: how many writes were acknowledged
	maybe  map[string]int    // and how many may or may not have been made
	last   map[string]string // the last value that was acknowledged
	former []string          // what went wrong
}

func startWriters(c *cluster, clients int) *writers {
	ctx, cancel := context.WithCancel(context.Background())
	w := &writers{c: c, cancel: cancel, acked: map[string]int{}, maybe: map[string]int{}, last: map[string]string{}}
	for i := range clients {
		w.done.Go(func() { w.write(ctx, fmt.Sprint("w", i)) })
	}
	c.t.Cleanup(w.stop)
	return w
}

// write counts a register up. The answer to a write is the register's former value: it must be the last one that was
// acknowledged, or one of those since whose outcome is not known.
func (w *writers) write(ctx context.Context, key string) {
	possible := []string{""}
	for n := 0; ctx.Err() == nil; n++ {
		value := fmt.Sprint(n)
		for _, node := range w.c.nodes() {
			if !node.IsLeader() {
				continue
			}
			opCtx, cancel := context.WithTimeout(ctx, 5*time.Second)
			_, former, err := node.Propose(opCtx, command{key, value}.encode())
			cancel()
			w.mu.Lock()
			switch {
			case err == nil:
				if !slices.Contains(possible, string(former)) {
					w.former = append(w.former, fmt.Sprintf("%s: %s replaced %q, possible were %q", key, value, former, possible))
				}
				possible = []string{value}
				w.acked[key]++
				w.last[key], w.maybe[key] = value, 0
			case errors.Is(err, ErrOutcomeUnknown):
				possible = append(possible, value)
				w.maybe[key]++
			}
			w.mu.Unlock()
			break
		}
		time.Sleep(time.Millisecond)
	}
}

func (w *writers) total() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range w.acked {
		n += k
	}
	return n
}

// progress waits for that many more writes to be acknowledged.
func (w *writers) progress(more int) {
	w.c.t.Helper()
	until := w.total() + more
	eventually(w.c.t, "writes go on", func() bool { return w.total() >= until })
}

func (w *writers) stop() {
	w.cancel()
	w.done.Wait()
}

// check compares what the writers were told with what a member holds.
func (w *writers) check(at *member) {
	w.c.t.Helper()
	_, index := w.c.put("end", "1")
	if err := at.node.WaitApplied(timeout(w.c.t, time.Minute), index); err != nil {
		w.c.t.Fatal(err)
	}
	for _, complaint := range w.former {
		w.c.t.Error(complaint)
	}
	for key, last := range w.last {
		if got := at.machine.get(key); got != last && w.maybe[key] == 0 {
			w.c.t.Errorf("%s holds %s=%s, %s was acknowledged", at.id, key, got, last)
		}
	}
	w.c.t.Logf("%d writes were acknowledged", w.total())
}
