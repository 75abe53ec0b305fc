package server

import (
	"context"
	"sync/atomic"
	"time"

	"pentad.dev/pentad/federation/consensus"
)

// vacancy knows for how long this server has known of no leader.
type vacancy struct {
	since atomic.Pointer[time.Time] // nil while there is one
}

func newVacancy() *vacancy {
	v := &vacancy{}
	v.begin()
	return v
}

func (v *vacancy) begin() {
	now := time.Now()
	v.since.CompareAndSwap(nil, &now)
}

// lasts is 0 while a leader is known.
func (v *vacancy) lasts() time.Duration {
	since := v.since.Load()
	if since == nil {
		return 0
	}
	return time.Since(*since)
}

// run follows the leadership until ctx ends.
func (v *vacancy) run(ctx context.Context, node *consensus.Node) error {
	for {
		leadership, changed := node.Leadership()
		if leadership.ID == "" {
			v.begin()
		} else {
			v.since.Store(nil)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}
