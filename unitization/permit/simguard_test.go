package permit

import (
	"context"
	"fmt"
	"slices"
	"time"

	"pentad.dev/pentad/unitization/permit/permitpb"
)

// simGuard is the model of a guard: it decides by its own permit, and never goes back in the since of a shard.
type simGuard struct {
	*proc
	cell     string
	session  string
	relay    int
	lease    Lease
	at       *simRelay
	atBorn   int
	stream   int
	asker    Asker
	next     time.Duration
	up, down time.Duration

	permit *Permit
	giver  *simRelay
	seen   [shards]uint64
	writes []write
}

// write is one in flight. It has lapsed when the permit ended meanwhile, or what was left of the one that the guard
// took along when it moved to another relay: a fence stops it then, nobody waits for it.
type write struct {
	shard  int
	since  uint64
	until  time.Duration
	under  *Permit
	lapsed bool
}

func (g *simGuard) start() {
	g.restart()
	g.w.names++
	g.session = fmt.Sprint("g", g.w.names)
	g.disconnect()
	g.permit, g.seen, g.writes = nil, [shards]uint64{}, nil
	g.asker = Asker{broken: g.w.hop}
}

// disconnect leaves the relay, which hears of it some time.
func (g *simGuard) disconnect() {
	if g.lease != nil {
		lease := g.lease
		g.w.send(new(time.Duration), g.at.proc, lease.Close)
	}
	g.lease, g.stream = nil, g.stream+1
	g.next = g.w.now
}

func (g *simGuard) connect() {
	w := g.w
	g.at, g.atBorn = w.relays[g.relay], w.relays[g.relay].born
	lease, err := g.at.hop.Open(context.Background(), &permitpb.Open{
		Session: g.session, Name: "g", Holder: permitpb.Holder_HOLDER_GUARD, Cells: []string{g.cell},
	})
	if err != nil {
		panic(err)
	}
	g.lease = lease
	g.up, g.down = 0, 0
}

func (g *simGuard) act() {
	w := g.w
	switch {
	case w.rng.IntN(2500) == 0:
		g.start()
	case w.rng.IntN(800) == 0 || w.mood == restless && w.rng.IntN(60) == 0: // moves, or comes back to the same
		g.disconnect()
		g.relay = w.rng.IntN(len(w.relays))
	case g.lease != nil && g.at.born != g.atBorn: // the relay died
		g.lease = nil
		g.disconnect()
		g.relay = w.rng.IntN(len(w.relays))
	}
	g.serve()
	if g.lease == nil {
		g.connect()
	}
	select {
	case <-g.lease.Hints():
		g.next = w.now
	default:
	}
	if w.now >= g.next {
		g.ask()
	}
}

func (g *simGuard) ask() {
	w := g.w
	g.next = w.now + time.Duration(200+w.rng.IntN(400))*time.Millisecond
	ask := &permitpb.Ask{Number: g.asker.Ask(g.Now()), Closed: g.closed()}
	lease, stream := g.lease, g.stream
	w.send(&g.up, g.at.proc, func() {
		a, err := lease.Answer(context.Background(), ask)
		if err != nil {
			panic(err)
		}
		w.send(&g.down, g.proc, func() {
			if stream != g.stream {
				return
			}
			if p, err := g.asker.Take(a, g.Now()); err == nil && p.Revision > 0 {
				g.granted(p)
			}
		})
	})
}

func (g *simGuard) granted(p *Permit) {
	g.noteLapse()
	before := g.closed()
	for i := range g.writes {
		if g.giver != g.at && g.writes[i].under == nil {
			g.writes[i].under = g.permit
		}
	}
	g.permit, g.giver = p, g.at
	for _, r := range p.Maps[0].Ranges {
		for shard := r.From; shard <= r.To; shard++ {
			g.seen[shard] = max(g.seen[shard], r.Since)
		}
	}
	if !slices.Equal(before, g.closed()) {
		g.next = g.w.now
	}
}

// closed are the freezes of the guard's own cell for which nothing is in flight.
func (g *simGuard) closed() (closed []uint64) {
	if g.permit == nil || len(g.permit.Maps) == 0 {
		return nil
	}
	for _, r := range g.permit.Maps[0].Ranges {
		busy := slices.ContainsFunc(g.writes, func(w write) bool {
			return uint32(w.shard) >= r.From && uint32(w.shard) <= r.To && w.since < r.Since
		})
		if r.Frozen && slices.Contains(r.Left, g.cell) && (!busy || g.w.bug == guardNoDrain) {
			closed = append(closed, r.Since)
		}
	}
	return closed
}

// accepts says whether the guard would take a write for the shard now, and by which since.
func (g *simGuard) accepts(shard int) (since uint64, ok bool) {
	left := g.permit.Left(g.Now())
	if g.w.hop.has(brokenMonotonicOnly) && g.permit != nil {
		left = g.permit.Holds - g.Now().Waited(g.permit.Asked)
	}
	if g.permit == nil || len(g.permit.Maps) == 0 || left <= 0 && g.w.bug != guardIgnoresEnd {
		return 0, false
	}
	for _, r := range g.permit.Maps[0].Ranges {
		if uint32(shard) < r.From || uint32(shard) > r.To {
			continue
		}
		back := r.Since < g.seen[shard] && g.w.bug != guardGoesBack
		return r.Since, !r.Frozen && !back && slices.Contains(r.Cells, g.cell)
	}
	return 0, false
}

// serve ends writes and begins others.
func (g *simGuard) serve() {
	w := g.w
	g.writes = slices.DeleteFunc(g.writes, func(wr write) bool { return w.now >= wr.until })
	shard := w.rng.IntN(shards)
	if since, ok := g.accepts(shard); ok {
		w.stats.accepts++
		long := time.Duration(w.rng.IntN(60)) * time.Millisecond
		if w.rng.IntN(200) == 0 {
			long = time.Duration(w.rng.IntN(4000)) * time.Millisecond
		}
		g.writes = append(g.writes, write{shard: shard, since: since, until: w.now + long})
	}
}

// noteLapse marks what is in flight when the permit has ended.
func (g *simGuard) noteLapse() {
	over := g.permit.Left(g.Now()) <= 0
	for i := range g.writes {
		w := &g.writes[i]
		if !w.lapsed && (over || w.under != nil && w.under.Left(g.Now()) <= 0) {
			w.lapsed = true
			g.w.stats.lapses++
		}
	}
}
