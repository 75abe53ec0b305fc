package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

// reads measures linearizable reads, at the leader and through a follower, and stale ones.
func (b *bench) reads(ctx context.Context) error {
	for _, nodes := range b.nodes {
		if err := b.readsOf(ctx, nodes); err != nil {
			return fmt.Errorf("%d nodes: %w", nodes, err)
		}
	}
	return nil
}

func (b *bench) readsOf(ctx context.Context, nodes int) error {
	home := filepath.Join(b.home, fmt.Sprintf("reads-%d", nodes))
	etcd, err := startEtcd(filepath.Join(home, "etcd"), b.etcd, nodes, b.certs)
	if err != nil {
		return err
	}
	defer etcd.stop()
	log, err := startLog(filepath.Join(home, "log"), nodes, b.certs, logOptions{})
	if err != nil {
		return err
	}
	defer log.stop()
	const size = 256
	for s, method := range map[*system]string{etcd: etcdPut, log: logPut} {
		if err := s.await(ctx); err != nil {
			return err
		}
		put := s.puts(s.leader, method, size)
		for i := range keys {
			if err := put(ctx, 0, i); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	read := func(name string, s *system, method string, atLeader, stale bool) contender {
		return contender{name, s, func() operation {
			if atLeader {
				return s.gets(s.leader, method, stale)
			}
			return s.gets(s.follower(), method, stale)
		}}
	}
	for _, kind := range []struct {
		title           string
		atLeader, stale bool
	}{
		{"linearizable, at the leader", true, false},
		{"linearizable, through a follower", false, false},
		{"stale, at a follower", false, true},
	} {
		confirmed, err := b.confirmations(ctx, log)
		if err != nil {
			return err
		}
		contests, err := b.compete(ctx, fmt.Sprintf("%d nodes, %s", nodes, kind.title), (b.rounds+1)/2, []contender{
			read("etcd Range", etcd, etcdRange, kind.atLeader, kind.stale),
			read("consensus", log, logGet, kind.atLeader, kind.stale),
		})
		if err != nil {
			return err
		}
		report(fmt.Sprintf("Reads, %d nodes, %s", nodes, kind.title), contests)
		after, err := b.confirmations(ctx, log)
		if err != nil {
			return err
		}
		read := 0
		for _, c := range contests {
			read += len(c.figures["consensus"].took)
		}
		// Finding the leader before each turn takes a few confirmations too.
		fmt.Printf("asked of the leader for these %d reads, and to find it: %d confirmations\n", read, after-confirmed)
	}
	return nil
}

// confirmations is how many linearizable reads all nodes have confirmed as leaders.
func (b *bench) confirmations(ctx context.Context, s *system) (n uint64, err error) {
	for i := range s.processes {
		c, err := s.counts(ctx, i)
		if err != nil {
			return 0, err
		}
		n += c.Reads.N
	}
	return n, nil
}

// slowApply is how long applying one command takes at the server that the forwarded writes go through.
const slowApply = 50 * time.Millisecond

// forwarded shows that a write through a follower does not wait until the follower itself has applied it: one whose
// state machine takes 50 ms a command answers as fast as the others.
func (b *bench) forwarded(ctx context.Context) error {
	const nodes, size, slow, writes = 3, 256, 0, 200
	log, err := startLog(filepath.Join(b.home, "forwarded"), nodes, b.certs, logOptions{
		slowApply: func(i int) time.Duration {
			if i == slow {
				return slowApply
			}
			return 0
		},
	})
	if err != nil {
		return err
	}
	defer log.stop()
	if err := log.await(ctx); err != nil {
		return err
	}
	for log.leader == slow { // it stops for a moment, and another one leads
		log.processes[slow].kill()
		if err := log.await(ctx); err != nil {
			return err
		}
		if err := log.processes[slow].start(); err != nil {
			return err
		}
		if err := log.up(ctx, slow); err != nil {
			return err
		}
	}
	other := nodes - slow - log.leader
	fmt.Printf("\nForwarded writes, %d nodes: one client, %d B, %d writes each\n", nodes, size, writes)
	for _, through := range []struct {
		name   string
		server int
	}{
		{"at the leader", log.leader}, {"through a follower", other},
		{fmt.Sprintf("through a follower that takes %s to apply a command", slowApply), slow},
	} {
		b.progress("forwarded writes: %s", through.name)
		put, f := log.puts(through.server, logPut, size), &figures{}
		for i := range writes {
			began := time.Now()
			if err := put(ctx, 0, i); err != nil {
				return err
			}
			f.took = append(f.took, time.Since(began))
		}
		here, err := log.counts(ctx, through.server)
		if err != nil {
			return err
		}
		there, err := log.counts(ctx, log.leader)
		if err != nil {
			return err
		}
		fmt.Printf("  %-60s p50 %s, p99 %s; at the end it had applied %d commands fewer than the leader\n",
			through.name, short(f.percentile(50)), short(f.percentile(99)), there.Applied-here.Applied)
	}
	return nil
}
