package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Faults of schedules that are made for one planted bug.
const (
	lateVotes   kind = "late votes"   // the leader hands over, and the new one's votes come when another one leads
	lostVote    kind = "lost vote"    // who has just voted loses power, and is with the others when it is back
	staleLeader kind = "stale leader" // the leader hands over and hears nothing of it for a while, and is asked for reads
	lostSync    kind = "lost sync"    // the leader, with two others alone, loses power before its slow disk is done
	noPath      kind = "no path"      // two hosts cannot reach each other
)

// happenAsPlanned makes a fault happen that only such schedules have.
func (e *estate) happenAsPlanned(ctx context.Context, f fault) {
	within, cancel := context.WithTimeout(ctx, f.For)
	defer cancel()
	switch f.Kind {
	case lateVotes:
		e.lateVotes(within, f.To)
	case lostVote:
		e.lostVote(within)
	case lostSync:
		e.lostSync(within)
	case staleLeader:
		e.staleLeader(within, f.To)
	case noPath:
		e.cutUntil(within, f.On, f.To)
		e.cutUntil(within, f.To, f.On)
		<-within.Done()
	default:
		panic("sim: no such fault: " + f.Kind)
	}
}

// cutUntil cuts a path until ctx ends.
func (e *estate) cutUntil(ctx context.Context, from, to string) {
	e.net.cut(from, to)
	context.AfterFunc(ctx, func() { e.net.heal(from, to) })
}

// lateVotes has the leader hand over to a server which hears from one other only until a third one leads.
func (e *estate) lateVotes(ctx context.Context, to string) {
	old := e.leader()
	if old == nil || old.name == to || e.servers[to].present() == nil {
		return
	}
	heard := false
	for _, voter := range centers {
		if voter == to || voter == old.name {
			continue
		}
		if heard {
			e.cutUntil(ctx, voter, to)
		}
		heard = true
	}
	before := e.termOf(to)
	go func() { _ = old.core.Node().TransferLeadership(ctx, to) }()
	if !await(ctx, time.Millisecond, func() bool { return e.termOf(to) > before }) {
		return
	}
	e.cutUntil(ctx, old.name, to)
	await(ctx, time.Millisecond, func() bool { return e.leads() > before+1 })
}

// part cuts some servers off from the others until ctx ends.
func (e *estate) part(ctx context.Context, side []string) {
	for _, a := range centers {
		for _, b := range centers {
			if slices.Contains(side, a) != slices.Contains(side, b) {
				e.cutUntil(ctx, a, b)
			}
		}
	}
}

// termOf is the term that a server is in, 0 if there is none.
func (e *estate) termOf(name string) uint64 {
	if l := e.servers[name].present(); l != nil {
		return l.core.Node().Status().Term
	}
	return 0
}

// leads is the highest term of a server that believes that it leads.
func (e *estate) leads() (term uint64) {
	if l := e.leader(); l != nil {
		term = e.termOf(l.name)
	}
	return term
}

// lostVote parts three servers from the leader and another one. When they have a leader, one who voted for it loses power,
// and comes back on the other side.
func (e *estate) lostVote(ctx context.Context) {
	old := e.leader()
	if old == nil {
		return
	}
	others := slices.DeleteFunc(slices.Clone(centers), func(c string) bool { return c == old.name })
	rnd := rand.New(rand.NewPCG(e.seed, uint64(e.now())))
	rnd.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	first, healed := context.WithCancel(ctx)
	defer healed()
	before := e.leads()
	e.part(first, others[:3])
	if !await(first, time.Millisecond, func() bool { return e.leads() > before }) {
		return
	}
	leader := e.leader()
	if leader == nil {
		return
	}
	voter := others[0]
	if voter == leader.name {
		voter = others[1]
	}
	e.servers[voter].kill(true)
	e.part(ctx, slices.DeleteFunc(slices.Clone(others[:3]), func(c string) bool { return c == voter }))
	healed()
	e.servers[voter].start()
	<-ctx.Done()
}

// lostSync leaves the leader, whose disk is slow, with two others. Then it loses power, and is with the rest when it is back:
// what it and the two had acknowledged must be on the disks of both.
func (e *estate) lostSync(ctx context.Context) {
	leader := e.leader()
	if leader == nil {
		return
	}
	others := slices.DeleteFunc(slices.Clone(centers), func(c string) bool { return c == leader.name })
	rnd := rand.New(rand.NewPCG(e.seed, uint64(e.now())))
	rnd.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	slow := func(d time.Duration) { leader.disk.set(func(disk *disk) { disk.slow = d }) }
	slow(time.Second)
	first, healed := context.WithCancel(ctx)
	defer healed()
	e.part(first, others[:2])
	time.Sleep(2500*time.Millisecond + time.Duration(rnd.Int64N(int64(time.Second))))
	leader.center.kill(true)
	slow(syncTakes)
	e.part(ctx, others[2:])
	healed()
	leader.center.start()
	<-ctx.Done()
}

// staleLeader has the leader hand over, hear nothing of anybody until the new one has acknowledged writes, and then all
// that is late; meanwhile it is asked for reads.
func (e *estate) staleLeader(ctx context.Context, to string) {
	old := e.leader()
	if old == nil || old.name == to || e.clients == nil {
		return
	}
	before := e.leads()
	deaf, heals := context.WithCancel(ctx)
	defer heals()
	for _, other := range centers {
		if other != old.name {
			e.cutUntil(deaf, other, old.name)
		}
	}
	var busy sync.WaitGroup
	defer busy.Wait()
	asks, ends := context.WithCancel(ctx)
	defer ends()
	busy.Go(func() {
		for n := 0; asks.Err() == nil; n++ {
			busy.Go(func() { e.prober(n).read(asks, old.center, fmt.Sprint("register-", n%keys)) })
			select {
			case <-asks.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	go func() { _ = old.core.Node().TransferLeadership(ctx, to) }()
	if !await(ctx, time.Millisecond, func() bool { return e.leads() > before }) {
		return
	}
	for n := range keys {
		busy.Go(func() {
			one, key := e.prober(n), fmt.Sprint("register-", n)
			one.read(ctx, e.servers[to], key)
			if seen, ok := one.known[key]; ok {
				one.write(ctx, e.servers[to], key, seen, int(e.now()))
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	heals()
	time.Sleep(500 * time.Millisecond)
}

// prober is one more client.
func (e *estate) prober(n int) *client {
	rnd := rand.New(rand.NewPCG(e.seed+uint64(n), uint64(e.now())))
	return &client{clients: e.clients, id: -100 - n, rnd: rnd, author: author{rnd, e.skew}, known: map[string]known{}}
}
