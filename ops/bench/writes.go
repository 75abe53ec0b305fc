package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The systems as tables call them.
const (
	atEtcd      = "etcd Put"
	atConsensus = "Propose over gRPC"
	atIntent    = "server, Intent.Propose"
	overAPI     = "Pentad's API, "
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
func (b *bench) compete(ctx context.Context, load string, rounds int, all []contender) ([]*contest, error) {
	all = slices.DeleteFunc(all, func(c contender) bool { return !b.systems.MatchString(c.name) })
	if len(all) == 0 {
		return nil, nil
	}
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
	for round := range rounds {
		order := slices.Clone(all)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, c := range order {
			b.progress("%s: round %d of %d: %s", load, round+1, rounds, c.name)
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
	before, err := c.system.processes.cpu()
	if err != nil {
		return sample{}, err
	}
	s, err := load(ctx, clients, b.turn, op)
	if err != nil {
		return sample{}, err
	}
	after, err := c.system.processes.cpu()
	s.cpu = after - before
	return s, err
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
			{atEtcd, etcd, func() operation { return etcd.puts(etcd.leader, etcdPut, size) }},
			{atConsensus, log, func() operation { return log.puts(log.leader, logPut, size) }},
		}
		if size == largest {
			all = append(all,
				contender{atIntent, &servers.system, func() operation { return servers.proposals() }})
		}
		contests, err := b.compete(ctx, fmt.Sprintf("%d nodes, %d B", nodes, size), b.rounds, all)
		if err != nil {
			return err
		}
		tables = append(tables, contests...)
	}
	throughAPI, err := b.compete(ctx, fmt.Sprintf("%d nodes, %d B, through an API", nodes, largest), b.rounds, []contender{
		{"API over etcd, update", etcd, func() operation { return over.updates(0) }},
		{overAPI + "update", &servers.system, func() operation { return servers.updates(servers.leader) }},
		{"API over etcd, create", etcd, func() operation { return over.creates(0) }},
		{overAPI + "create", &servers.system, func() operation { return servers.creates(servers.leader) }},
	})
	if err != nil {
		return err
	}
	for _, c := range tables {
		b.aim(c, fmt.Sprintf("%d nodes, Propose", nodes), atConsensus, true)
		b.aim(c, fmt.Sprintf("%d nodes, Intent.Propose of a server", nodes), atIntent, true)
	}
	report(fmt.Sprintf("Acknowledged writes, %d nodes (each a process, TLS everywhere, every write synced)", nodes), tables)
	var pairs []*contest
	for _, what := range []string{"update", "create"} {
		for _, c := range throughAPI {
			of := slices.DeleteFunc(slices.Clone(c.systems), func(name string) bool { return !strings.HasSuffix(name, what) })
			pairs = append(pairs, &contest{load: c.load, systems: of, figures: c.figures})
		}
	}
	for _, c := range pairs {
		b.aim(c, fmt.Sprintf("%d nodes, through the API", nodes), overAPI+"update", false)
		b.aim(c, fmt.Sprintf("%d nodes, through the API", nodes), overAPI+"create", false)
	}
	report(fmt.Sprintf("Through a Kubernetes-style API, %d nodes", nodes), pairs)
	return b.whereTimeGoes(ctx, fmt.Sprintf("%d nodes, %d B", nodes, largest), []contender{
		{atConsensus, log, func() operation { return log.puts(log.leader, logPut, largest) }},
		{atIntent, &servers.system, func() operation { return servers.proposals() }},
	})
}
