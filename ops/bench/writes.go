package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// warmUp is how long a system is driven before its turn counts.
const warmUp = 300 * time.Millisecond

// settle is how long a system has, after its turn, to write down what is under way.
const settle = 200 * time.Millisecond

// contender is a system with one of its operations.
type contender struct {
	name   string
	system *system
	op     func() operation // made at each turn: the leader may have changed
}

// compete has systems take turns under each number of clients. While one has its turn the others are stopped: they
// share the machine, and must not share the figures. It returns a contest for each number of clients.
func (b *bench) compete(ctx context.Context, load string, all []contender) ([]*contest, error) {
	var names []string
	for _, c := range all {
		names = append(names, c.name)
	}
	var contests []*contest
	for _, n := range b.clients {
		contests = append(contests, newContest(fmt.Sprintf("%s, %d clients", load, n), names...))
	}
	systems := map[*system]bool{}
	for _, c := range all {
		systems[c.system] = true
	}
	for s := range systems {
		s.processes.freeze()
	}
	for round := range b.rounds {
		order := slices.Clone(all)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, c := range order {
			b.progress("%s: round %d of %d: %s", load, round+1, b.rounds, c.name)
			if err := b.turnOf(ctx, c, contests); err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	for s := range systems {
		s.processes.thaw()
	}
	return contests, nil
}

// attempts is how often a turn is taken again when a leader lost its office in it, as on a busy machine it may.
const attempts = 5

func (b *bench) turnOf(ctx context.Context, c contender, contests []*contest) error {
	c.system.processes.thaw()
	defer func() {
		time.Sleep(settle) // a process that is stopped while it writes takes its disk for hung
		c.system.processes.freeze()
	}()
	for i, clients := range b.clients {
		for attempt := 1; ; attempt++ {
			s, err := b.measure(ctx, c, clients)
			if err == nil {
				contests[i].figures[c.name].add(s)
				break
			}
			if ctx.Err() != nil || attempt == attempts {
				return err
			}
			b.progress("%s: again: %v", c.name, err)
		}
	}
	return nil
}

func (b *bench) measure(ctx context.Context, c contender, clients int) (sample, error) {
	if err := c.system.await(ctx); err != nil {
		return sample{}, err
	}
	op := c.op()
	if _, err := load(ctx, clients, warmUp, op); err != nil {
		return sample{}, err
	}
	return load(ctx, clients, b.turn, op)
}

// writes measures acknowledged writes: etcd's Put, and Pentad's at three heights.
func (b *bench) writes(ctx context.Context) error {
	for _, nodes := range b.nodes {
		if err := b.writesOf(ctx, nodes); err != nil {
			return fmt.Errorf("%d nodes: %w", nodes, err)
		}
	}
	return nil
}

func (b *bench) writesOf(ctx context.Context, nodes int) error {
	home := filepath.Join(b.home, fmt.Sprintf("writes-%d", nodes))
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
	servers, err := startPentad(filepath.Join(home, "pentad"), b.pentad, nodes, b.certs)
	if err != nil {
		return err
	}
	defer servers.stop()
	for _, s := range []*system{etcd, log, &servers.system} {
		if err := s.await(ctx); err != nil {
			return err
		}
	}
	largest := slices.Max(b.sizes)
	b.progress("%d nodes run: making the objects", nodes)
	if err := servers.seed(ctx, servers.leader, largest); err != nil {
		return err
	}
	over, err := etcd.startAPI(filepath.Join(home, "etcd"), b.etcdAPI, b.certs)
	if err != nil {
		return err
	}
	defer over.hangUp()
	if err := over.seed(ctx, 0, largest); err != nil {
		return fmt.Errorf("an API over etcd: %w", err)
	}
	var tables []*contest
	for _, size := range b.sizes {
		all := []contender{
			{"etcd Put", etcd, func() operation { return etcd.puts(etcd.leader, etcdPut, size) }},
			{"Propose over gRPC", log, func() operation { return log.puts(log.leader, logPut, size) }},
		}
		if size == largest {
			all = append(all,
				contender{"server, Intent.Propose", &servers.system, func() operation { return servers.proposals() }})
		}
		contests, err := b.compete(ctx, fmt.Sprintf("%d nodes, %d B", nodes, size), all)
		if err != nil {
			return err
		}
		tables = append(tables, contests...)
	}
	throughAPI, err := b.compete(ctx, fmt.Sprintf("%d nodes, %d B, through an API", nodes, largest), []contender{
		{"API over etcd, update", etcd, func() operation { return over.updates(0) }},
		{"Pentad's API, update", &servers.system, func() operation { return servers.updates(servers.leader) }},
		{"API over etcd, create", etcd, func() operation { return over.creates(0) }},
		{"Pentad's API, create", &servers.system, func() operation { return servers.creates(servers.leader) }},
	})
	if err != nil {
		return err
	}
	report(fmt.Sprintf("Acknowledged writes, %d nodes (each a process, TLS everywhere, every write synced)", nodes), tables)
	var pairs []*contest
	for i := 0; i < 4; i += 2 { // an update with an update, a create with a create
		for _, c := range throughAPI {
			pairs = append(pairs, &contest{load: c.load, systems: c.systems[i : i+2], figures: c.figures})
		}
	}
	report(fmt.Sprintf("Through a Kubernetes-style API, %d nodes", nodes), pairs)
	return b.whereTimeGoes(ctx, log, largest)
}

// whereTimeGoes says how many entries share a sync and what the parts of a write take, below the API.
func (b *bench) whereTimeGoes(ctx context.Context, s *system, size int) error {
	s.processes.thaw()
	fmt.Printf("\nWhere the time goes below the API, %d nodes, %d B\n", len(s.processes), size)
	for _, clients := range b.clients {
		if err := s.await(ctx); err != nil {
			return err
		}
		op := s.puts(s.leader, logPut, size)
		if _, err := load(ctx, clients, warmUp, op); err != nil {
			return err
		}
		before, err := s.counts(ctx, s.leader)
		if err != nil {
			return err
		}
		stop := b.startProfile(s, clients)
		began, err := load(ctx, clients, b.turn, op)
		stop()
		if err != nil {
			return err
		}
		after, err := s.counts(ctx, s.leader)
		if err != nil {
			return err
		}
		c := after.minus(before)
		f := &figures{}
		f.add(began)
		fmt.Printf("%4d clients: %6.0f/s, p50 %s; leader: %.1f entries a sync, a sync %s, proposal to result %s, the rest (gRPC, TLS, waiting for a core) %s\n",
			clients, f.rate(), short(f.percentile(50)), float64(c.Proposals)/float64(max(1, c.Syncs)),
			mean(c.SyncSeconds, c.Syncs), mean(c.CommitSeconds, c.Proposals),
			short(average(f.took)-seconds(c.CommitSeconds, c.Proposals)))
	}
	return nil
}

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
