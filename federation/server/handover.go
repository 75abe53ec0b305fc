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
// costs the others no election. The caller must cancel it.
func (s *Core) untilHandedOver(ctx context.Context) (context.Context, context.CancelFunc) {
	going, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		select {
		case <-ctx.Done():
			s.handed.Do(s.handOver)
			cancel()
		case <-going.Done():
		}
	}()
	return going, cancel
}

// handOver gives the leadership to the voter that is furthest, if this server has it.
func (s *Core) handOver() {
	if !s.node.IsLeader() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), handOverWithin)
	defer cancel()
	switch err := s.node.TransferLeadership(ctx, ""); {
	case errors.Is(err, consensus.ErrLastVoter), errors.Is(err, consensus.ErrNotLeader):
	case err != nil:
		s.log.Warn("leadership was not handed over before the stop", "error", err)
	default:
		s.log.Info("leadership was handed over before the stop")
	}
}
