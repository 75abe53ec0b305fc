package feed

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

// succession decides whose turn it is among peers of which one is used, nearest first. A peer whose connection is
// there enters; it may start when no nearer one is in, and must leave when a nearer one has settled: so a peer that
// comes back takes over before the other is left.
type succession struct {
	mu      sync.Mutex
	in      []bool
	settled []bool
	changed chan struct{}
}

func newSuccession(n int) *succession {
	return &succession{in: make([]bool, n), settled: make([]bool, n), changed: make(chan struct{})}
}

// grace is how long each peer leaves to the nearer ones to connect before it enters.
const grace = 20 * time.Millisecond

// enter waits for the turn of a peer whose connection is there. The context ends with the turn; release gives it up. A
// nil context: the connection was lost meanwhile, or ctx ended.
func (s *succession) enter(ctx context.Context, rank int, conn *grpc.ClientConn) (context.Context, func()) {
	pause := time.NewTimer(time.Duration(rank) * grace)
	defer pause.Stop()
	select {
	case <-ctx.Done():
		return nil, nil
	case <-pause.C:
	}
	s.set(rank, true, false)
	lost, stop := context.WithCancel(ctx)
	defer stop()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if conn.WaitForStateChange(lost, connectivity.Ready) {
			stop()
		}
	}()
	turn := s.await(lost, func() bool { return !anyOf(s.in[:rank]) })
	stop()
	<-gone
	if !turn || ctx.Err() != nil {
		s.set(rank, false, false)
		return nil, nil
	}
	sctx, cancel := context.WithCancelCause(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		if s.await(sctx, func() bool { return anyOf(s.settled[:rank]) }) {
			cancel(errNotNeeded)
		}
	}()
	return sctx, func() {
		cancel(nil)
		<-over
		s.set(rank, false, false)
	}
}

// settle says that a peer has taken the feeds over.
func (s *succession) settle(rank int) { s.set(rank, true, true) }

func (s *succession) isSettled(rank int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settled[rank]
}

func (s *succession) set(rank int, in, settled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.in[rank], s.settled[rank] = in, settled
	close(s.changed)
	s.changed = make(chan struct{})
}

// await waits until a condition holds; false: ctx ended.
func (s *succession) await(ctx context.Context, condition func() bool) bool {
	for {
		s.mu.Lock()
		holds, changed := condition(), s.changed
		s.mu.Unlock()
		if holds {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
}

func anyOf(bs []bool) bool {
	for _, b := range bs {
		if b {
			return true
		}
	}
	return false
}
