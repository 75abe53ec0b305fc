package server

import (
	"context"
	"errors"
	"time"

	"pentad.dev/pentad/federation/consensus"
)

// handOverWithin bounds how long a leader that is told to stop goes on to find a successor.
const handOverWithin = 3 * time.Second

// untilHandedOver is a context that ends after ctx has, once this server does not lead any more: a stop that was asked for
// costs the others no election. The caller must cancel it, which also ends the search for a successor.
func (s *Core) untilHandedOver(ctx context.Context) (context.Context, context.CancelFunc) {
	going, cancel := context.WithCancel(context.WithoutCancel(ctx))
	over := make(chan struct{})
	go func() {
		defer close(over)
		select {
		case <-ctx.Done():
			s.handed.Do(func() { s.handOver(going) })
			cancel()
		case <-going.Done():
		}
	}()
	return going, func() {
		cancel()
		<-over
	}
}

// handOver gives the leadership to the voter that is furthest, if this server has it.
func (s *Core) handOver(ctx context.Context) {
	if !s.node.IsLeader() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, handOverWithin)
	defer cancel()
	switch err := s.node.TransferLeadership(ctx, ""); {
	case errors.Is(err, consensus.ErrLastVoter), errors.Is(err, consensus.ErrNotLeader):
	case err != nil:
		s.log.Warn("leadership was not handed over before the stop", "error", err)
	default:
		s.log.Info("leadership was handed over before the stop")
	}
}
