package feed

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// simWriter is the owner of a feed: a source, and the agent that publishes it.
type simWriter struct {
	node    *simNode
	id      ID
	source  *state
	used    *uint64
	lease   bool
	skew    time.Duration
	begins  int
	awaited bool // the whole set is still to be pushed
}

// begin takes a feed over as its owner does after a start, or when it heard of a later position.
func (w *world) begin(wr *simWriter) {
	l := wr.node.set.Log(wr.id)
	whole := wr.whole()
	now := int64((w.clock + wr.skew) / time.Millisecond)
	rnd := w.rng.Uint64()
	inc := NextIncarnation(now, *wr.used, l.Highest().Incarnation, rnd)
	if w.clockOnly {
		inc = NextIncarnation(now, 0, 0, rnd)
	}
	if w.reuseIncarnation {
		inc = max(*wr.used, 1)
		if l.Highest().Incarnation >= inc {
			inc = NextIncarnation(now, *wr.used, l.Highest().Incarnation, 0)
		}
	}
	*wr.used = inc
	wr.begins++
	at := Position{inc, 1}
	w.history[wr.id][at] = maps.Clone(*wr.source)
	switch {
	case w.goesOn && !l.Position().IsZero():
		goOn(l, whole, at)
	case w.pushesEmpty:
		wr.awaited = true
		whole = nil
		fallthrough
	default:
		if _, err := l.Begin(inc, whole); err != nil {
			w.fail("begin: %v", err)
		}
	}
}

func (wr *simWriter) whole() []Change {
	var whole []Change
	for _, k := range wr.keys() {
		whole = append(whole, Change{k[0], k[1], []byte((*wr.source)[k])})
	}
	return whole
}

func (wr *simWriter) keys() [][2]string {
	return slices.SortedFunc(maps.Keys(*wr.source), func(a, b [2]string) int {
		return strings.Compare(a[0]+a[1], b[0]+b[1])
	})
}

// goOn breaks rule 2: it commits what differs from the old log, as a delta from it.
func goOn(l *Log, whole []Change, to Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.role = writing
	l.write(to, whole)
	l.advance(to)
}

// change makes the source change a few keys at once and its agent, if it is running, commit them as one step.
func (w *world) change(wr *simWriter) {
	var changes []Change
	for range 1 + w.rng.IntN(3) {
		k := [2]string{fmt.Sprint("K", w.rng.IntN(2)), string(rune('a' + w.rng.IntN(3)))}
		c := Change{Kind: k[0], Key: k[1]}
		if w.rng.IntN(3) > 0 {
			w.values++
			c.Value = fmt.Appendf(nil, "%s%d", []string{"", "!"}[w.rng.IntN(5)/4], w.values)
			(*wr.source)[k] = string(c.Value)
		} else {
			delete(*wr.source, k)
		}
		changes = append(changes, c)
	}
	for _, o := range w.writers {
		if o.id == wr.id {
			w.commit(o, changes)
		}
	}
}

func (w *world) commit(wr *simWriter, changes []Change) {
	l, ok := wr.node.set.Get(wr.id)
	if !ok || !l.published() || wr.awaited {
		return
	}
	pos, err := l.Commit(changes...)
	if err != nil {
		w.fail("commit: %v", err)
	}
	w.history[wr.id][pos] = maps.Clone(*wr.source)
}

// answer is the owner's: it starts, and it obeys rule 4.
func (w *world) answer(wr *simWriter) bool {
	l := wr.node.set.Log(wr.id)
	switch {
	case wr.awaited:
		wr.awaited = false
		pos, _ := l.Commit(wr.whole()...)
		w.history[wr.id][pos] = maps.Clone(*wr.source)
	case !l.published() && (wr.lease || !w.settling && w.rng.IntN(4) == 0):
		w.begin(wr)
	case !l.ahead().IsZero() && (wr.lease || w.ignoresLease):
		w.begin(wr)
	case !l.ahead().IsZero():
		l.Resign()
	default:
		return false
	}
	return true
}

// propose commits a change to the intent.
func (w *world) propose() {
	next := maps.Clone(w.intent[len(w.intent)-1])
	k := [2]string{"K1", string(rune('a' + w.rng.IntN(3)))}
	if w.values++; w.rng.IntN(2) == 0 {
		next[k] = fmt.Sprint(w.values)
	} else {
		delete(next, k)
	}
	w.intent = append(w.intent, next)
	for _, n := range w.nodes[:3] {
		w.history[IntentID][w.revision(n, len(w.intent)-1)] = next
	}
}

// revision is the position of a server's intent.
func (w *world) revision(n *simNode, revision int) Position {
	p := Position{7, uint64(revision)}
	if w.ownIncarnations {
		p.Incarnation += uint64(slices.Index(w.nodes, n))
	}
	return p
}

// apply makes a server apply the intent's next revision.
func (w *world) apply(n *simNode) bool {
	if n.applied+1 >= len(w.intent) {
		return false
	}
	was, is := w.intent[n.applied], w.intent[n.applied+1]
	n.applied++
	var changes []Change
	for _, k := range [][2]string{{"K1", "a"}, {"K1", "b"}, {"K1", "c"}} {
		if v, ok := is[k]; ok {
			changes = append(changes, Change{k[0], k[1], []byte(v)})
		} else if _, ok := was[k]; ok {
			changes = append(changes, Change{Kind: k[0], Key: k[1]})
		}
	}
	if err := n.set.Log(IntentID).CommitAt(w.revision(n, n.applied), changes...); err != nil {
		w.fail("%s: %v", n.name, err)
	}
	return true
}

// rebuild gives a restarted server its intent back: from the first entry, or from a snapshot.
func (w *world) rebuild(n *simNode) {
	n.applied = w.rng.IntN(n.applied+1) * w.rng.IntN(2)
	if n.applied == 0 {
		return
	}
	var whole []Change
	for k, v := range w.intent[n.applied] {
		whole = append(whole, Change{k[0], k[1], []byte(v)})
	}
	l := n.set.Log(IntentID)
	if err := l.Restart(w.revision(n, n.applied), whole); err != nil {
		w.fail("%s: %v", n.name, err)
	}
	if w.keepsFloor {
		l.floor = Position{Incarnation: 7}
	}
}

// mistake makes a holder lose a record, as a bug would, and makes its own seal fit.
func (w *world) mistake() {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	l, ok := n.set.Get(w.feeds()[w.rng.IntN(3)])
	if !ok || l.Writing() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if x := l.table.root.next; x != &l.table.root {
		delete(l.table.kinds[x.Kind].keys, x.Key)
		l.table.unlink(x)
	}
}
