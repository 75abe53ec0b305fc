package feed

import (
	"fmt"
	"maps"
	"time"
)

// settle mends the network, lets it come to rest and demands that everybody is equal to the writer.
func (w *world) settle() {
	w.settling = true
	for range 3 {
		if w.mistakes {
			w.mistake()
		}
	}
	if w.removes {
		w.propose() // a removed intent comes back with the next revision
	}
	homes := map[ID]int{}
	for _, wr := range w.writers {
		homes[wr.id] = w.rng.IntN(3)
	}
	// Where each server has an incarnation of its own, the one with the highest is cut off from the relays for good.
	lost := func(l *simLink) bool { return w.ownIncarnations && l.from == w.nodes[2] && l.to.relay }
	for _, l := range w.links {
		if l.publish && !l.to.relay && !w.settlesAt(l, homes) || lost(l) {
			w.cut(l)
		}
	}
	for _, l := range w.links {
		stays := !l.publish || l.to.relay || w.settlesAt(l, homes) || l.from.name == "rival"
		if !l.up && w.mayConnect(l) && stays && !lost(l) {
			w.connect(l)
		}
		if w.starve && l.to.relay && (l.publish || l.from.name == fmt.Sprint("server", homes["c/x"])) {
			l.starved = true
		}
	}
	begins := 0
	for _, wr := range w.writers {
		begins += wr.begins
	}
	for round := range 30 {
		w.rest()
		w.clock += 500 * time.Millisecond
		for _, n := range w.nodes {
			w.decideAll(n)
		}
		for _, l := range w.links {
			if l.up && round%2 == 0 {
				l.sender.tick()
				l.receiver.tick()
			}
		}
	}
	w.rest()
	for _, wr := range w.writers {
		begins -= wr.begins
	}
	if begins < -12 {
		w.fail("writers outbid each other %d times without end", -begins)
	}
	w.equal()
}

// settlesAt says whether a publishing link to a server is the one that stays.
func (w *world) settlesAt(l *simLink, homes map[ID]int) bool {
	for _, wr := range w.writers {
		if wr.node == l.from {
			return l.to == w.nodes[homes[wr.id]]
		}
	}
	return false
}

// rest moves everything until nothing moves.
func (w *world) rest() {
	for turns := 0; ; turns++ {
		busy := false
		for _, wr := range w.writers {
			busy = w.answer(wr) || busy
		}
		for _, n := range w.nodes[:3] {
			busy = w.apply(n) || busy
		}
		for _, l := range w.links {
			for end := range 4 {
				for n := 0; l.up && n < 20 && w.turn(l, end); n++ {
					busy = true
					if end == 1 {
						w.check(l)
					}
				}
			}
		}
		w.step++
		if !busy {
			return
		}
		if turns > 400 {
			w.fail("never comes to rest")
		}
	}
}

func (w *world) equal() {
	w.mistakes = false
	for _, n := range w.nodes[:5] {
		latest := w.revision(w.nodes[0], len(w.intent)-1)
		if l, ok := n.set.Get(IntentID); len(w.intent) > 1 && (!ok || l.Position().Seq != latest.Seq || l.Stale()) {
			w.fail("%s at rest: %v, the intent at %s", n.name, l, latest)
		} else if ok {
			w.compare(n.name+" at rest", IntentID, l.Position(), l.Filter(), contents(l))
		}
	}
	for _, wr := range w.writers {
		written := wr.node.set.Log(wr.id)
		if !wr.lease {
			continue
		}
		for _, n := range w.nodes[:5] {
			l, ok := n.set.Get(wr.id)
			switch {
			case !ok:
				w.fail("%s at rest: has no %s", n.name, wr.id)
			case l.Position() != written.Position():
				w.fail("%s at rest: %s at %s, the writer at %s", n.name, wr.id, l.Position(), written.Position())
			case !l.Filter().Equal(n.want):
				w.fail("%s at rest: %s has filter %s, wanted %s", n.name, wr.id, l.Filter(), n.want)
			case l.Stale():
				w.fail("%s at rest: %s is stale", n.name, wr.id)
			}
			w.history[wr.id][l.Position()] = maps.Clone(*wr.source)
			w.compare(n.name+" at rest", wr.id, l.Position(), l.Filter(), contents(l))
		}
	}
	for _, n := range w.nodes {
		for _, r := range n.readers {
			for w.readOne(r) {
			}
			if r.pos != r.log.Position() {
				w.fail("%s's reader at rest: %s at %s, the log at %s", n.name, r.id, r.pos, r.log.Position())
			}
		}
	}
}

// simulate runs one network and returns what the oracle found, or nil.
func simulate(p plan, seed uint64) (steps int, found error) {
	w := newWorld(p, seed)
	defer func() {
		steps = w.step
		switch v := recover().(type) {
		case nil:
		case violation:
			found = v
		default:
			panic(v)
		}
	}()
	w.disturb()
	w.settle()
	return 0, nil
}
