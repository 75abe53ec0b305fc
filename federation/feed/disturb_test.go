package feed

import (
	"time"
)

// disturb runs random steps: changes, deliveries, cuts, restarts, ticks.
func (w *world) disturb() {
	rare := 1
	if w.restless {
		rare = 4
	}
	removing := 0
	if w.removes {
		removing = 10
	}
	forgetful := 0
	if w.behind {
		forgetful = 10
	}
	acts := []struct {
		weight int
		act    func()
	}{
		{60, func() { w.change(w.writers[w.rng.IntN(len(w.writers))]) }},
		{30, func() { w.answer(w.writers[w.rng.IntN(len(w.writers))]) }},
		{10 * rare, w.propose},
		{20 * rare, func() { w.apply(w.nodes[w.rng.IntN(3)]) }},
		{80, w.connectSome},
		{20, func() { w.cut(w.links[w.rng.IntN(len(w.links))]) }},
		{6 * rare, w.restartSome},
		{forgetful, w.restartWriter},
		{20 * rare, func() { w.save(w.nodes[w.rng.IntN(len(w.nodes))], w.feeds()[w.rng.IntN(3)]) }},
		{8, w.refilter},
		{removing, w.remove},
		{40, func() {
			w.clock += time.Duration(w.rng.IntN(1000)) * time.Millisecond
			w.decideAll(w.nodes[w.rng.IntN(len(w.nodes))])
		}},
		{40, w.tickSome},
		{15, w.newReader},
		{45, w.read},
		{5, func() {
			if w.mistakes {
				w.mistake()
			}
		}},
		{500, w.moveSome},
		{8, w.moveAll},
	}
	sum := 0
	for _, a := range acts {
		sum += a.weight
	}
	for w.step = 1; w.step <= w.steps; w.step++ {
		w.clock += time.Duration(w.rng.IntN(20)) * time.Millisecond
		r := w.rng.IntN(sum)
		for _, a := range acts {
			if r -= a.weight; r < 0 {
				a.act()
				break
			}
		}
		w.check(nil)
	}
}

func (w *world) connectSome() {
	if l := w.links[w.rng.IntN(len(w.links))]; !l.up && w.mayConnect(l) {
		w.connect(l)
	}
}

func (w *world) tickSome() {
	if l := w.links[w.rng.IntN(len(w.links))]; l.up {
		l.sender.tick()
		l.receiver.tick()
	}
}

// moveSome moves one link for a while: so some are quick and some are slow.
func (w *world) moveSome() {
	l := w.links[w.rng.IntN(len(w.links))]
	for range 1 + w.rng.IntN(20) {
		if end := w.rng.IntN(4); l.up && w.turn(l, end) && end == 1 {
			w.check(l)
		}
	}
}

// moveAll moves all links, each as far as it goes or nearly.
func (w *world) moveAll() {
	for _, l := range w.links {
		for range w.rng.IntN(100) {
			if end := w.rng.IntN(4); l.up && w.turn(l, end) && end == 1 {
				w.check(l)
			}
		}
	}
}

// mayConnect lets an agent have one server at a time.
func (w *world) mayConnect(l *simLink) bool {
	if !l.publish || l.to.relay {
		return true
	}
	for _, o := range w.links {
		if o.publish && o.from == l.from && !o.to.relay && o.up {
			return false
		}
	}
	return true
}

func (w *world) restartSome() { w.restartOne(w.nodes[w.rng.IntN(len(w.nodes))]) }

func (w *world) restartWriter() { w.restartOne(w.writers[w.rng.IntN(len(w.writers))].node) }

func (w *world) restartOne(n *simNode) {
	for _, wr := range w.writers {
		if wr.node == n {
			wr.awaited = false
			wr.skew = time.Duration(w.rng.IntN(3)-1) * time.Minute
			if w.rng.IntN(3) == 0 {
				clear(n.disk)
				if w.rng.IntN(2) == 0 && !w.rivals && !w.reuseIncarnation {
					*wr.used = 0 // the disk was lost with what was persisted
				}
			}
			if w.behind {
				clear(n.disk)
				wr.skew, *wr.used = -time.Duration(wr.begins)*time.Minute, 0
			}
		}
	}
	w.restart(n)
}

// refilter changes what a relay wants.
func (w *world) refilter() {
	n := w.nodes[3+w.rng.IntN(2)]
	n.want = []Filter{
		{}, NewFilter([]string{"K1"}, nil), NewFilter(nil, []string{"a"}), NewFilter(nil, []string{"a", "b"}),
	}[w.rng.IntN(4)]
	w.decideAll(n)
}

func (w *world) newReader() {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	if l, ok := n.set.Get(w.feeds()[w.rng.IntN(3)]); ok && len(n.readers) < 4 {
		n.readers = append(n.readers, &simReader{node: n, id: l.id, log: l, cursor: l.Cursor(Position{}), state: state{}})
	}
}

func (w *world) read() {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	if len(n.readers) > 0 {
		w.readOne(n.readers[w.rng.IntN(len(n.readers))])
	}
}
