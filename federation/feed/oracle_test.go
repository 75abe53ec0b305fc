package feed

import (
	"fmt"
	"maps"
	"time"

	"pentad.dev/pentad/federation/feed/feedpb"
)

// disturb runs random steps: changes, deliveries, cuts, restarts, ticks.
func (w *world) disturb() {
	rare := 1
	if w.restless {
		rare = 4
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
		{20 * rare, func() { w.save(w.nodes[w.rng.IntN(len(w.nodes))], w.feeds()[w.rng.IntN(3)]) }},
		{8, w.refilter},
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

func (w *world) restartSome() {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
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
		}
	}
	w.restart(n)
}

// refilter changes what a relay wants.
func (w *world) refilter() {
	if w.mistakes {
		return // a filtered copy has no seal to be mended by
	}
	n := w.nodes[3+w.rng.IntN(2)]
	n.want = []Filter{{}, NewFilter([]string{"K1"}, nil), NewFilter(nil, []string{"a"}), NewFilter(nil, []string{"a", "b"})}[w.rng.IntN(4)]
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

// readOne lets a reader in the process take a batch and compares what it shows then.
func (w *world) readOne(r *simReader) bool {
	b, ok := r.cursor.Next()
	if !ok {
		return false
	}
	if b.Reset {
		r.state = state{}
	}
	for _, rec := range b.Records {
		if k := [2]string{rec.Kind, rec.Key}; rec.Value == nil {
			delete(r.state, k)
		} else {
			r.state[k] = string(rec.Value)
		}
	}
	if b.To.Before(r.pos) || !b.Reset && b.From != r.pos {
		w.fail("reader of %s at %s: batch from %s to %s", r.node.name, r.pos, b.From, b.To)
	}
	r.pos = b.To
	w.compare(r.node.name+"'s reader", r.id, r.pos, r.log.Filter(), r.state)
	return true
}

// emits notes where the writer stood at each of its marks.
func (w *world) emits(l *simLink, m *feedpb.SenderMessage) {
	note := func(stream uint64, at Position, v *feedpb.Life) {
		o := l.sender.subs[stream]
		if o != nil && o.log.published() && v.GetFresh() {
			w.emitted[o.log.id][positionOf(v.GetMark())] = at
		}
	}
	if f := m.GetFrame(); f.GetCommit() {
		note(f.GetStream(), positionOf(f.GetTo()), f.GetLife())
	}
	for _, p := range m.GetProgresses().GetProgresses() {
		note(p.GetStream(), positionOf(p.GetPosition()), p.GetLife())
	}
}

// check is the oracle after a step; moved is the link over which something may have come.
func (w *world) check(moved *simLink) {
	nodes := w.nodes
	if moved != nil {
		nodes = []*simNode{moved.to}
	}
	for _, n := range nodes {
		for _, id := range w.feeds() {
			if l, ok := n.set.Get(id); ok {
				w.checkLog(n, l, moved)
			}
		}
	}
}

func (w *world) checkLog(n *simNode, l *Log, moved *simLink) {
	if l.role == copied && l.confirmed && !n.fresh[l.id] {
		n.fresh[l.id] = true
		w.checkFresh(n, l, moved)
	}
	if !l.mark.IsZero() {
		if key := (arrival{n, l.id, l.mark}); w.arrived[key] == 0 {
			w.arrived[key] = w.step
		}
	}
	v := l.version()
	if v == n.shown[l.id] && w.broken&olderApplied == 0 && w.tamper == nil {
		return
	}
	n.shown[l.id] = v
	if v.position.Before(n.last[l.id]) {
		w.fail("%s: %s went back from %s to %s", n.name, l.id, n.last[l.id], v.position)
	}
	n.last[l.id] = v.position
	w.compare(n.name, l.id, v.position, l.Filter(), contents(l))
}

// checkFresh is rule 20: the mark that ended stale passed the sender while this stream was open, and the holder had all
// that the writer had when it made the mark.
func (w *world) checkFresh(n *simNode, l *Log, moved *simLink) {
	if moved == nil || moved.to != n {
		return // resigned
	}
	at := w.emitted[l.id][l.mark]
	if p := l.Position(); l.id != IntentID && (p.Incarnation != at.Incarnation || p.Before(at)) {
		w.fail("%s: %s at %s called fresh by a mark made at %s", n.name, l.id, l.Position(), at)
	}
	if from, ok := moved.from.set.Get(l.id); ok && !moved.publish && from.role == copied {
		if step := w.arrived[arrival{moved.from, l.id, l.mark}]; step < moved.since {
			w.fail("%s: %s called fresh by a mark that %s had at step %d, stream since %d", n.name, l.id, moved.from.name, step, moved.since)
		}
	}
}

func contents(l *Log) state {
	s := state{}
	for r := range l.All() {
		s[[2]string{r.Kind, r.Key}] = string(r.Value)
	}
	return s
}

// compare is the oracle's heart: shown must be what the source was at the position.
func (w *world) compare(who string, id ID, at Position, f Filter, shown state) {
	if w.mistakes {
		return
	}
	truth, ok := w.history[id][at]
	if at.IsZero() {
		truth = state{}
	} else if !ok {
		w.fail("%s: %s claims position %s, which never was", who, id, at)
	}
	want := state{}
	for k, v := range truth {
		if f.Matches(k[0], k[1]) {
			want[k] = v
		}
	}
	if !maps.Equal(want, shown) {
		w.fail("%s: %s at %s (%s) shows %v, the source was %v", who, id, at, f, shown, want)
	}
}

// settle mends the network, lets it come to rest and demands that everybody is equal to the writer.
func (w *world) settle() {
	w.settling = true
	for range 3 {
		if w.mistakes {
			w.mistake()
		}
	}
	homes := map[ID]int{}
	for _, wr := range w.writers {
		homes[wr.id] = w.rng.IntN(3)
	}
	for _, l := range w.links {
		if l.publish && !l.to.relay && !w.settlesAt(l, homes) {
			w.cut(l)
		}
	}
	for _, l := range w.links {
		if !l.up && w.mayConnect(l) && (w.rivals && l.from.name == "rival" || !l.publish || l.to.relay || w.settlesAt(l, homes)) {
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
		latest := Position{7, uint64(len(w.intent) - 1)}
		if l, ok := n.set.Get(IntentID); len(w.intent) > 1 && (!ok || l.Position() != latest || l.Stale()) {
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

// losesBatches makes receivers lose one batch in ten.
func losesBatches(w *world) tamper {
	losing := map[*incoming]Position{}
	return func(r *receiver, in *incoming, f *feedpb.Frame) bool {
		to := positionOf(f.GetTo())
		if in.staged == nil && losing[in] != to && w.lossy && !w.settling && w.rng.IntN(10) == 0 {
			losing[in] = to
		}
		lost := losing[in] == to
		if lost && f.GetCommit() {
			delete(losing, in)
		}
		return lost
	}
}
