package server

import (
	"context"
	"fmt"
	"sync"
	"time"

	"pentad.dev/pentad/federation/consensus"
)

// reign is one term of this server's leadership.
type reign struct {
	began time.Time
	// asks are for the steward, who alone changes Raft's configuration: two that did could each take what the other relies
	// on. Nobody holds a lock while a change is on its way to the others; who has waited long enough gives up.
	asks chan ask
	// over is closed when nobody answers any more.
	over chan struct{}
	end  sync.Once
}

// ask is for Raft's configuration to be brought after the table as far as one server is concerned.
type ask struct {
	name string
	// done gets the outcome; it has room for it.
	done chan error
}

func newReign(began time.Time) *reign {
	return &reign{began: began, asks: make(chan ask), over: make(chan struct{})}
}

// ends lets go of everyone who waits.
func (r *reign) ends() { r.end.Do(func() { close(r.over) }) }

// followed has the steward bring Raft's configuration after the table, until nothing is left to do about one server.
func (r *reign) followed(ctx context.Context, name string) error {
	a := ask{name: name, done: make(chan error, 1)}
	lost := fmt.Errorf("the order is taken, and the leader was lost that carried it out: %w", consensus.ErrNotLeader)
	select {
	case r.asks <- a:
	case <-r.over:
		return lost
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-a.done:
		return err
	case <-r.over:
		return lost
	case <-ctx.Done():
		return ctx.Err()
	}
}

// obey is the steward's answer to an ask.
func (s *Core) obey(ctx context.Context, r *reign, name string) error {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	for {
		next, ok := s.caution().next(s.members(r.began))
		if !ok || next.name != name {
			return nil
		}
		if err := s.carryOut(ctx, next); err != nil {
			return err
		}
	}
}
