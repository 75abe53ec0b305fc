package permit

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"pentad.dev/pentad/unitization/switchover"
)

// leader is the model of the leader's controller, with the log beside it.
type leader struct {
	*proc
	// freeze is the one that is waited for, begun on the leader's own clock; 0: none.
	freeze   uint64
	from, to int
	begun    Instant
	stamp    time.Duration // the wall clock of whoever froze
	acked    map[string]bool
	asked    map[string]time.Duration
	closedAt map[string]Instant
	oldT     time.Duration
	changed  Instant
	before   Terms

	beforeRevision uint64
	machine        *proc
}

// server is a process that is always there: which server answers makes no difference to the model.
func (l *leader) server() *proc {
	if l.machine == nil {
		l.machine = &proc{w: l.w}
	}
	return l.machine
}

func (l *leader) act() {
	w := l.w
	switch w.rng.IntN(2000) {
	case 0: // another leader, on another machine: it waits in full again
		l.elected()
	case 1:
		if l.freeze == 0 && l.oldT == 0 && !w.fixedT {
			l.setT()
		}
	}
	l.watchSessions()
	if l.freeze == 0 {
		if n := w.rng.IntN(60); n == 0 || w.answered == w.now && n < 6 {
			l.begin()
		}
		return
	}
	acked, waited := l.allAcked(), l.waitedOut()
	if acked || waited {
		l.commit(acked)
	}
}

func (l *leader) elected() {
	l.proc = l.w.newProc()
	l.begun, l.changed = l.Now(), l.Now()
	for id := range l.closedAt {
		l.closedAt[id] = l.Now()
	}
}

func (l *leader) setT() {
	w := l.w
	l.oldT, l.changed = w.t, l.Now()
	w.t = []time.Duration{time.Second, 2 * time.Second, 5 * time.Second}[w.rng.IntN(3)]
	l.editMap(func(m *switchover.Map) { m.Permit = w.t })
}

// editMap commits a change of the map.
func (l *leader) editMap(edit func(*switchover.Map)) {
	w := l.w
	l.before, l.beforeRevision = w.terms, w.revision
	m := *w.state.Maps["m"]
	m.Ranges = slices.Clone(m.Ranges)
	edit(&m)
	w.state.Maps = map[string]*switchover.Map{"m": &m}
	w.committed()
	for _, r := range w.relays { // hints, most of which arrive
		if w.rng.IntN(4) > 0 {
			r.next = min(r.next, w.now+time.Duration(w.rng.IntN(10))*time.Millisecond)
		}
	}
}

// begin freezes a range for its present owner.
func (l *leader) begin() {
	w := l.w
	w.state.Epoch++
	l.freeze = w.state.Epoch
	l.editMap(func(m *switchover.Map) {
		r := &m.Ranges[w.rng.IntN(len(m.Ranges))]
		m.Epoch, r.Frozen, r.Since, r.Left = l.freeze, true, l.freeze, r.Cells
		l.from, l.to = r.From, r.To
	})
	l.begun, l.stamp, l.acked = l.Now(), l.Now().wall, map[string]bool{}
	w.stats.freezes++
}

// allAcked says whether every relay session in the log has acknowledged, the closed ones included.
func (l *leader) allAcked() bool {
	for id, s := range l.w.state.Sessions {
		if s.Closed && l.w.bug == leaderForgetsClosed {
			continue
		}
		if !l.acked[id] {
			return false
		}
	}
	return true
}

func (l *leader) waitedOut() bool {
	w, now := l.w, l.Now()
	wait := WithDrift(w.t)
	if w.bug == leaderLogTimestamp {
		return now.wall-l.stamp >= wait
	}
	if l.oldT > 0 && w.bug != leaderNewTOnly && now.Waited(l.changed) < WithDrift(l.oldT) {
		return false
	}
	return now.Waited(l.begun) >= wait
}

// commit decides: from now on the old rights are over, and the range opens for the other unit.
func (l *leader) commit(acked bool) {
	w := l.w
	if acked {
		w.stats.acked++
		w.undrained(l.from, l.to, l.freeze)
	}
	for shard := l.from; shard <= l.to; shard++ {
		w.floor[shard] = l.freeze
	}
	if !acked {
		w.stats.waited++
		l.oldT = 0
	}
	w.state.Epoch++
	l.editMap(func(m *switchover.Map) {
		for i := range m.Ranges {
			r := &m.Ranges[i]
			if r.Since != l.freeze {
				continue
			}
			m.Epoch, r.Frozen, r.Since, r.Left = w.state.Epoch, false, w.state.Epoch, nil
			if w.rng.IntN(4) > 0 { // else it was aborted
				other := map[string]string{"a": "b", "b": "a"}[r.Unit]
				r.Unit, r.Cells = other, []string{other + "." + center}
			}
		}
	})
	l.freeze = 0
}

// undrained notes writes that are in flight though their freeze was acknowledged, unless the guard's permit had ended,
// or an earlier freeze has already settled them.
func (w *world) undrained(from, to int, freeze uint64) {
	for i, g := range w.guards {
		g.noteLapse()
		for _, wr := range g.writes {
			settled := wr.since < w.floor[wr.shard] || wr.lapsed || g.still > w.now
			if wr.shard >= from && wr.shard <= to && wr.since < freeze && !settled {
				panic(broken{fmt.Errorf("guard %d of %s has a write of shard %d by since %d in flight: freeze %d was "+
					"acknowledged", i, g.cell, wr.shard, wr.since, freeze)})
			}
		}
	}
}

// broken is a broken promise that is found deep in a step.
type broken struct{ error }

// watchSessions closes sessions that have not asked for long, and removes them when their permits have ended.
func (l *leader) watchSessions() {
	w := l.w
	if w.rng.IntN(10) > 0 {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(w.state.Sessions)) {
		s := w.state.Sessions[id]
		at, closed := l.closedAt[id]
		switch {
		case !closed && (w.now-l.asked[id] > 3*time.Second || w.rng.IntN(2000) == 0):
			after := *s
			after.Closed = true
			w.state.Sessions[id] = &after
			l.closedAt[id] = l.Now()
			w.committed()
		case closed && (l.Now().Waited(at) >= WithDrift(5*time.Second) || w.bug == leaderRemovesAtOnce):
			delete(w.state.Sessions, id)
			delete(l.closedAt, id)
			w.committed()
		}
	}
}
