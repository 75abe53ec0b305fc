package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// operation is one request of a client; a client makes one at a time.
type operation func(ctx context.Context, client, i int) error

// sample is what the clients of one turn saw, and the processor time that the system's processes took meanwhile.
type sample struct {
	took         []time.Duration
	elapsed, cpu time.Duration
}

// load has that many clients repeat an operation for that long. An operation that fails fails the turn: a cluster that
// drops requests is not fast.
func load(ctx context.Context, clients int, lasts time.Duration, op operation) (sample, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	took := make([][]time.Duration, clients)
	var working sync.WaitGroup
	start := time.Now()
	for client := range clients {
		working.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				began := time.Now()
				if began.Sub(start) >= lasts {
					return
				}
				if err := op(ctx, client, i); err != nil {
					cancel(fmt.Errorf("client %d, request %d: %w", client, i, err))
					return
				}
				took[client] = append(took[client], time.Since(began))
			}
		})
	}
	working.Wait()
	s := sample{elapsed: time.Since(start)}
	if err := context.Cause(ctx); err != nil {
		return s, err
	}
	for _, t := range took {
		s.took = append(s.took, t...)
	}
	return s, nil
}

// figures are those of all turns of one system under one load.
type figures struct {
	took         []time.Duration
	elapsed, cpu time.Duration
}

func (f *figures) add(s sample) {
	f.took = append(f.took, s.took...)
	f.elapsed += s.elapsed
	f.cpu += s.cpu
}

// each is the processor time that one operation took, in all processes of the system together. It hardly depends on
// what else the machine does.
func (f *figures) each() time.Duration { return f.cpu / time.Duration(max(1, len(f.took))) }

func (f *figures) rate() float64 {
	if f.elapsed == 0 {
		return 0
	}
	return float64(len(f.took)) / f.elapsed.Seconds()
}

// percentile of a sorted copy; 0 when there is nothing.
func (f *figures) percentile(p float64) time.Duration {
	if len(f.took) == 0 {
		return 0
	}
	sorted := slices.Clone(f.took)
	slices.Sort(sorted)
	return sorted[min(len(sorted)-1, int(float64(len(sorted))*p/100))]
}
