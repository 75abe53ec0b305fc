package stream

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"pentad.dev/pentad/unitization/switchover"
)

const (
	// ackGather is how long the first acknowledgement of a batch waits for others.
	ackGather = time.Millisecond
	// ackRetry is the pause after a batch that could not be told.
	ackRetry = 50 * time.Millisecond
	// ackTries is how often a batch is tried; after that the sessions repeat what they have to say with their next ask.
	ackTries = 10
)

// acks tells the log of acknowledgements, many in one entry.
type acks struct {
	cfg   RootConfig
	count *rootCounters
	kick  chan struct{}

	mu      sync.Mutex
	pending map[switchover.AckFreeze]bool
}

func newAcks(cfg RootConfig, count *rootCounters) *acks {
	return &acks{cfg: cfg, count: count, kick: make(chan struct{}, 1), pending: map[switchover.AckFreeze]bool{}}
}

// add takes what a session says it has closed, as far as somebody waits for it by the state.
func (a *acks) add(s switchover.State, session string, closed []uint64) {
	if len(closed) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, freeze := range closed {
		if ack := (switchover.AckFreeze{Session: session, Freeze: freeze}); awaited(s, ack) && !a.pending[ack] {
			a.pending[ack] = true
			select {
			case a.kick <- struct{}{}:
			default:
			}
		}
	}
}

// awaited says whether a switchover waits for this acknowledgement.
func awaited(s switchover.State, ack switchover.AckFreeze) bool {
	if session := s.Sessions[ack.Session]; session == nil || session.Holder != switchover.Relay {
		return false
	}
	for _, sw := range s.Switchovers {
		if sw.Freeze == ack.Freeze && sw.Phase == switchover.PhaseFrozen && !sw.Acked[ack.Session] {
			return true
		}
	}
	return false
}

func (a *acks) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.kick:
		}
		if !sleep(ctx, ackGather) {
			return
		}
		for tries := 0; !a.tell(ctx) && tries < ackTries; tries++ {
			if !sleep(ctx, ackRetry) {
				return
			}
		}
		// What could not be told is told again with the next ask.
		a.mu.Lock()
		if len(a.kick) == 0 {
			clear(a.pending)
		}
		a.mu.Unlock()
	}
}

// tell proposes what is pending and still awaited; false: to be tried again.
func (a *acks) tell(ctx context.Context) bool {
	s, _, _ := a.cfg.Authority.State()
	a.mu.Lock()
	var batch []switchover.AckFreeze
	for ack := range a.pending {
		if awaited(s, ack) {
			batch = append(batch, ack)
		} else {
			delete(a.pending, ack)
		}
	}
	a.mu.Unlock()
	if len(batch) == 0 {
		return true
	}
	slices.SortFunc(batch, func(x, y switchover.AckFreeze) int {
		return cmp.Or(cmp.Compare(x.Freeze, y.Freeze), cmp.Compare(x.Session, y.Session))
	})
	a.count.entries.Inc()
	a.count.acks.Add(float64(len(batch)))
	within, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	if err := a.cfg.Authority.AckFreeze(within, batch); err != nil {
		a.cfg.Log.Warn("acknowledgements could not be told", "acks", len(batch), "error", err)
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, ack := range batch {
		delete(a.pending, ack)
	}
	return true
}

// sleep pauses; false: ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	pause := time.NewTimer(d)
	defer pause.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-pause.C:
		return true
	}
}
