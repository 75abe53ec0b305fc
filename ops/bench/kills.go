package main

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

const (
	// retryEvery is how often a client that cannot write tries again, at every server.
	retryEvery = 5 * time.Millisecond
	// wanVoters and the delay make two regions of two centers and one of one, as operators deploy five.
	wanVoters = 5
	// betweenRegions is one way: 30 ms there and back. Within a region it is 1 ms there and back.
	betweenRegions, withinRegion = 15 * time.Millisecond, 500 * time.Microsecond
)

// kill measures how long nothing can be written after kill -9 of the leader, on loopback.
func (b *bench) kill(ctx context.Context) error {
	for _, nodes := range b.nodes {
		if err := b.killsOf(ctx, fmt.Sprintf("%d nodes, no distance", nodes), nodes, b.kills, logOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// wan measures it where regions are 30 ms apart.
func (b *bench) wan(ctx context.Context) error {
	region := func(i int) int { return i / 2 }
	options := logOptions{delay: func(from, to int) time.Duration {
		if region(from) == region(to) {
			return withinRegion
		}
		return betweenRegions
	}}
	title := "5 nodes in three regions (2+2+1), 30 ms between them"
	log, err := startLog(filepath.Join(b.home, "wan"), wanVoters, b.certs, options)
	if err != nil {
		return err
	}
	defer log.stop()
	if err := log.await(ctx); err != nil {
		return err
	}
	var contests []*contest
	for _, clients := range b.clients {
		b.progress("%s: %d clients", title, clients)
		c := newContest(fmt.Sprintf("%d clients", clients), "Propose over gRPC")
		s, err := b.measure(ctx, contender{"", log, func() operation { return log.puts(log.leader, logPut, b.sizes[0]) }}, clients)
		if err != nil {
			return err
		}
		c.figures["Propose over gRPC"].add(s)
		contests = append(contests, c)
	}
	report(fmt.Sprintf("Acknowledged writes of %d B at the leader, %s", b.sizes[0], title), contests)
	return b.killed(ctx, title, log, b.wanKills, mostUnavailableFar)
}

func (b *bench) killsOf(ctx context.Context, title string, nodes, kills int, o logOptions) error {
	log, err := startLog(filepath.Join(b.home, fmt.Sprintf("kills-%d", nodes)), nodes, b.certs, o)
	if err != nil {
		return err
	}
	defer log.stop()
	return b.killed(ctx, title, log, kills, mostUnavailable)
}

// killed kills the leader again and again; the time is from the kill to the first acknowledged write of a client that
// tries every 5 ms at all servers.
func (b *bench) killed(ctx context.Context, title string, s *system, kills int, most time.Duration) error {
	f := &figures{}
	for i := range kills {
		if i%5 == 0 {
			b.progress("%s: leader killed %d of %d times", title, i, kills)
		}
		if err := s.await(ctx); err != nil {
			return err
		}
		if err := s.puts(s.leader, logPut, b.sizes[0])(ctx, 0, i); err != nil {
			return err
		}
		took, err := s.outage(ctx, s.leader, b.sizes[0])
		if err != nil {
			return fmt.Errorf("%s: kill %d: %w", title, i+1, err)
		}
		f.took = append(f.took, took)
		if err := s.processes[s.leader].start(); err != nil {
			return err
		}
		if err := s.up(ctx, s.leader); err != nil {
			return err
		}
		if err := s.caughtUp(ctx); err != nil {
			return err
		}
	}
	b.unavailable(title, f, most)
	fmt.Printf("\nNothing could be written after kill -9 of the leader, %s, %d kills: p50 %s, p99 %s, longest %s\n",
		title, kills, short(f.percentile(50)), short(f.percentile(99)), short(f.percentile(100)))
	return nil
}

// outage kills a server and returns how long it took until a write was acknowledged.
func (s *system) outage(ctx context.Context, victim, size int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	acknowledged := make(chan time.Time, 1)
	var tries sync.WaitGroup
	defer tries.Wait()
	defer cancel()
	began := time.Now()
	s.processes[victim].kill()
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for i := 0; ; i++ {
		for server := range s.processes {
			if server == victim {
				continue
			}
			tries.Go(func() {
				if s.puts(server, logPut, size)(ctx, i, i) == nil {
					select {
					case acknowledged <- time.Now():
					default:
					}
				}
			})
		}
		select {
		case at := <-acknowledged:
			return at.Sub(began), nil
		case <-ctx.Done():
			return 0, fmt.Errorf("nothing could be written for a minute: %w", s.processes.ended())
		case <-tick.C:
		}
	}
}

// caughtUp waits until every server has applied what the leader has: a kill in between would measure a lack of
// servers, not an election.
func (s *system) caughtUp(ctx context.Context) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && ctx.Err() == nil; {
		if err := s.await(ctx); err != nil {
			return err
		}
		leader, err := s.counts(ctx, s.leader)
		behind := err != nil
		for i := range s.processes {
			c, err := s.counts(ctx, i)
			behind = behind || err != nil || c.Applied < leader.Applied
		}
		if !behind {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("a server does not catch up: %w", s.processes.ended())
}
