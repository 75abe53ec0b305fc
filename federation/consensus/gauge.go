package consensus

import (
	"container/heap"
	"context"
	"sync"
)

// gauge is a number that only grows and that many may wait for. Waking costs what is woken, not what waits.
type gauge struct {
	mu      sync.Mutex
	at      uint64
	failed  error
	waiting waiters
}

func newGauge() *gauge { return &gauge{} }

// value returns the number as of now.
func (g *gauge) value() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.at
}

// advance raises the number; a lower one changes nothing.
func (g *gauge) advance(to uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if to <= g.at {
		return
	}
	g.at = to
	for len(g.waiting) > 0 && g.waiting[0].until <= to {
		close(heap.Pop(&g.waiting).(*waiter).woken)
	}
}

// fail wakes everyone who waits, now and later, with that error.
func (g *gauge) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failed == nil {
		g.failed = err
	}
	for _, w := range g.waiting {
		w.at = -1
		close(w.woken)
	}
	g.waiting = nil
}

// wait returns when the number has reached until; with the gauge's error if it failed before, with the context's if
// that ended before.
func (g *gauge) wait(ctx context.Context, until uint64) error {
	g.mu.Lock()
	if g.at >= until {
		g.mu.Unlock()
		return nil
	}
	if g.failed != nil {
		g.mu.Unlock()
		return g.failed
	}
	w := &waiter{until: until, woken: make(chan struct{})}
	heap.Push(&g.waiting, w)
	g.mu.Unlock()
	select {
	case <-w.woken:
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.at >= 0 {
		heap.Remove(&g.waiting, w.at)
	}
	switch {
	case g.at >= until:
		return nil
	case g.failed != nil:
		return g.failed
	default:
		return ctx.Err()
	}
}

// waiter is one who waits; at is its place in the heap, -1 once it has left it.
type waiter struct {
	until uint64
	at    int
	woken chan struct{}
}

// waiters is a heap with the lowest goal first.
type waiters []*waiter

func (w waiters) Len() int           { return len(w) }
func (w waiters) Less(i, j int) bool { return w[i].until < w[j].until }
func (w waiters) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].at, w[j].at = i, j
}

func (w *waiters) Push(x any) {
	n := x.(*waiter)
	n.at = len(*w)
	*w = append(*w, n)
}

func (w *waiters) Pop() any {
	old := *w
	n := old[len(old)-1]
	old[len(old)-1] = nil
	*w = old[:len(old)-1]
	n.at = -1
	return n
}
