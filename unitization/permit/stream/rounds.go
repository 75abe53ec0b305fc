package stream

import (
	"context"
	"sync"
)

// rounds batches linearizable reads: a round serves all who came before it began. Who comes later waits for the next
// one, since a read that had begun before the ask may have missed a freeze.
type rounds struct {
	cfg   RootConfig
	count *rootCounters
	kick  chan struct{}

	mu sync.Mutex
	// next is the round that has not begun, present the one that has; each may be nil.
	next, present *round
}

type round struct {
	asks     int
	done     chan struct{}
	revision uint64
	err      error
}

func newRounds(cfg RootConfig, count *rootCounters) *rounds {
	return &rounds{cfg: cfg, count: count, kick: make(chan struct{}, 1)}
}

// read is a revision that was read after the call.
func (r *rounds) read(ctx context.Context) (uint64, error) {
	mine := r.join()
	select {
	case <-mine.done:
		return mine.revision, mine.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (r *rounds) join() *round {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.present != nil && r.cfg.broken.has(brokenJoinsPresent) {
		return r.present
	}
	if r.next == nil {
		r.next = &round{done: make(chan struct{})}
		select {
		case r.kick <- struct{}{}:
		default:
		}
	}
	r.next.asks++
	return r.next
}

// gathers is how many times Gather a round waits at most, while more and more ask.
const gathers = 5

// gather waits for as long as more asks come, within bounds; false: ctx has ended.
func (r *rounds) gather(ctx context.Context) bool {
	for range gathers {
		before := r.waiting()
		if !sleep(ctx, r.cfg.Gather) {
			return false
		}
		if r.waiting() == before {
			break
		}
	}
	return true
}

func (r *rounds) waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		return 0
	}
	return r.next.asks
}

// run runs one round after the other while somebody waits.
func (r *rounds) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.kick:
		}
		if !r.gather(ctx) {
			return
		}
		r.mu.Lock()
		now := r.next
		r.present, r.next = now, nil
		r.mu.Unlock()
		if now == nil {
			continue
		}
		r.count.reads.Inc()
		within, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
		now.revision, now.err = r.cfg.Authority.Read(within)
		cancel()
		r.mu.Lock()
		r.present = nil
		r.mu.Unlock()
		close(now.done)
	}
}
