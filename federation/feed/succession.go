package feed

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

// succession decides whose turn it is among peers of which one is used, nearest first. A peer whose connection is
// there enters; it may start when no nearer one is in that takes what it is given, and must leave when a nearer one has
// settled: so a peer that comes back takes over before the other is left, and one that refuses something, as a server
// with a wrong clock, keeps it from nobody.
type succession struct {
	mu      sync.Mutex
	places  []place
	changed chan struct{}
}

// place is how far a peer is.
type place uint8

const (
	out     place = iota // no connection
	refuses              // it is there, and does not take all that it is given
	in                   // it is there
	settled              // it has taken all over
)

func newSuccession(n int) *succession {
	return &succession{places: make([]place, n), changed: make(chan struct{})}
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
	s.set(rank, in)
	lost, stop := context.WithCancel(ctx)
	defer stop()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if conn.WaitForStateChange(lost, connectivity.Ready) {
			stop()
		}
	}()
	turn := s.await(lost, func() bool { return !s.nearer(rank, in) })
	stop()
	<-gone
	if !turn || ctx.Err() != nil {
		s.set(rank, out)
		return nil, nil
	}
	sctx, cancel := context.WithCancelCause(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		if s.await(sctx, func() bool { return s.nearer(rank, settled) }) {
			cancel(errNotNeeded)
		}
	}()
	return sctx, func() {
		cancel(nil)
		<-over
		s.set(rank, out)
	}
}

func (s *succession) isSettled(rank int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.places[rank] == settled
}

func (s *succession) set(rank int, to place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.places[rank] != to {
		s.places[rank] = to
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// nearer says whether any peer before rank is as far as a place. The lock is held.
func (s *succession) nearer(rank int, least place) bool {
	return slices.ContainsFunc(s.places[:rank], func(p place) bool { return p >= least })
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
