package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"text/tabwriter"
	"time"
)

// whereTimeGoes says, by the servers' own numbers, what the parts of a write take: how many entries share a sync, how
// long a follower waits to hear that an entry is committed, what applying a command takes.
func (b *bench) whereTimeGoes(ctx context.Context, load string, all []contender) error {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Printf("\nWhere the time of a write goes, %s; a is the leader, b the mean of its followers\n", load)
	fmt.Fprintln(t, "clients\tsystem\tper second\tp50\tentries a batch a\tb\tsyncs an entry a\tb\ta sync a\tb\t"+
		"written to commit a\tb\tapply a\tb\tpropose to result\toutside\t")
	time.Sleep(settle)
	for _, c := range all {
		c.system.processes.freeze()
	}
	for _, c := range all {
		if !b.systems.MatchString(c.name) {
			continue
		}
		c.system.processes.thaw()
		for _, clients := range b.clients {
			if err := b.partsOf(ctx, t, c, clients); err != nil {
				return err
			}
		}
		time.Sleep(settle)
		c.system.processes.freeze()
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Println("outside: what the client sees beyond that: gRPC, TLS, checks before it is proposed, waiting for a core")
	for _, c := range all {
		c.system.processes.thaw()
	}
	return nil
}

func (b *bench) partsOf(ctx context.Context, t *tabwriter.Writer, c contender, clients int) error {
	s := c.system
	if err := s.await(ctx); err != nil {
		return err
	}
	op := c.op()
	if _, err := load(ctx, clients, warmUp, op); err != nil {
		return err
	}
	leader, followers, err := s.parts(ctx)
	if err != nil {
		return err
	}
	stop := func() {}
	if c.name == atConsensus {
		stop = b.startProfile(s, clients)
	}
	done, err := load(ctx, clients, b.turn, op)
	stop()
	if err != nil {
		return err
	}
	l, f, err := s.parts(ctx)
	if err != nil {
		return err
	}
	l.add(leader, -1)
	f.add(followers, -1)
	seen := &figures{}
	seen.add(done)
	inside := lasted(l.Proposals.mean())
	fmt.Fprintf(t, "%d\t%s\t%.0f\t%s\t%.1f\t%.1f\t%.2f\t%.2f\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n",
		clients, c.name, seen.rate(), short(seen.percentile(50)), l.Batches.mean(), f.Batches.mean(),
		float64(l.Syncs.N)/max(1, l.Batches.Sum), float64(f.Syncs.N)/max(1, f.Batches.Sum),
		short(lasted(l.Syncs.mean())), short(lasted(f.Syncs.mean())), short(lasted(l.Waits.mean())),
		short(lasted(f.Waits.mean())), short(lasted(l.Applies.mean())), short(lasted(f.Applies.mean())),
		short(inside), short(average(seen.took)-inside))
	return nil
}

// parts are the numbers of the leader and the sum of its followers'.
func (s *system) parts(ctx context.Context) (leader, followers Counts, err error) {
	for i := range s.processes {
		c, err := s.counts(ctx, i)
		switch {
		case err != nil:
			return leader, followers, err
		case i == s.leader:
			leader = c
		default:
			followers.add(c, 1)
		}
	}
	return leader, followers, nil
}

func lasted(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

// startProfile has the leader write a CPU profile, when that is asked for, until the returned function is called.
func (b *bench) startProfile(s *system, clients int) (stop func()) {
	if b.profile == "" {
		return func() {}
	}
	leader := s.processes[s.leader]
	leader.signal(syscall.SIGUSR1)
	return func() {
		leader.signal(syscall.SIGUSR2)
		time.Sleep(500 * time.Millisecond) // until the file is written
		to := filepath.Join(b.profile, fmt.Sprintf("log-%d-nodes-%d-clients.pprof", len(s.processes), clients))
		if err := copyFile(to, profileOf(leader)); err != nil {
			b.progress("no profile: %v", err)
		}
	}
}
