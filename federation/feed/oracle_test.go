package feed

import (
	"maps"

	"pentad.dev/pentad/federation/feed/feedpb"
)

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
	if r.log.Writing() {
		return true
	}
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
	if l.Writing() {
		return // the writer is right: what counts is what others show
	}
	v := l.version()
	if v.position.IsZero() && n.ended[l.id] != (Position{}) {
		return // removed, and not back yet
	}
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

// checkFresh is rule 20: the mark that ended stale passed the sender while this stream was open, and the holder had
// all that the writer had when it made the mark.
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
			w.fail("%s: %s called fresh by a mark that %s had at step %d, stream since %d",
				n.name, l.id, moved.from.name, step, moved.since)
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
