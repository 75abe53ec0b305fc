package switchover

import "slices"

// lead is what the leader's controller and operators propose. The machine decides what comes of it.
func (x *explorer) lead(w world, emit func(action, world)) {
	f := x.machine.facts[w.machine]
	for i := range x.c.requests {
		name := switchoverNames[i]
		uid := "uid-" + name
		if x.c.losses > 0 && (i >= x.c.after) != (w.lost != 0) {
			continue
		}
		switch f.phases[i] {
		case 0:
			if i == 0 || i == x.c.after || x.c.waits[i] == 0 || f.phases[i-1] >= x.c.waits[i] {
				x.propose(w, i, "declare", emit, func() Event { return x.declare(w, i) })
			}
		case PhasePlanned:
			x.propose(w, i, "approve", emit, func() Event { return x.approval(w, i) })
		case PhaseApproved:
			x.propose(w, i, "freeze", emit, func() Event { return Freeze{name, uid} })
		case PhaseFrozen, PhaseFencing:
			need := x.c.ticks
			if x.c.broken.has(brokenWaitTooShort) {
				need--
			}
			if w.waited[i] >= need {
				x.propose(w, i, "waited out", emit, func() Event { return WaitedOut{name, uid, uint64(f.freezes[i])} })
			}
		case PhaseCaughtUp:
			x.propose(w, i, "commit", emit, func() Event { return Commit{name, uid} })
		case PhaseOpened:
			x.propose(w, i, "converged", emit, func() Event { return Converged{Name: name, UID: uid} })
		}
		if w.aborts > 0 && f.phases[i].Running() && (w.cut != 0 || !x.c.abortsWhenCut) {
			n := w
			n.aborts--
			x.propose(n, i, "abort", emit, func() Event { return Abort{Name: name, UID: uid} })
		}
	}
	x.leadSessions(w, emit)
}

func (x *explorer) propose(w world, i int, what string, emit func(action, world),
	event func() Event) {
	before := w.machine
	w.machine = x.machine.apply(w.machine, action{what: what, a: i}, event)
	if w.machine == before {
		return
	}
	if f := x.machine.facts[w.machine]; f.phases[i] != PhaseFencing && f.phases[i] != PhaseFrozen {
		w.waited[i] = 0
	}
	emit(action{what: what, a: i}, w)
}

// declare makes the plan from the present state. Refused ones are not proposed.
func (x *explorer) declare(w world, i int) Event {
	name := switchoverNames[i]
	plan, problems := x.plan(w, i)
	if len(problems) > 0 {
		return nil
	}
	return Declare{Name: name, UID: "uid-" + name, Request: x.c.requests[i], Plan: plan}
}

func (x *explorer) approval(w world, i int) Event {
	name := switchoverNames[i]
	plan, problems := x.plan(w, i)
	if len(problems) > 0 {
		return nil
	}
	return Approve{Name: name, UID: "uid-" + name, Hash: plan.Hash(), Plan: plan}
}

func (x *explorer) plan(w world, i int) (Plan, []Problem) {
	s := x.machine.states[w.machine]
	if x.c.brokenMachine.has(brokenNoLocks) {
		s.Switchovers = nil
	}
	return MakePlan(x.world, s, x.c.requests[i])
}

// leadSessions closes the session of a relay that is gone or silent, and removes it when its permits have ended.
func (x *explorer) leadSessions(w world, emit func(action, world)) {
	const id = "relay-a-1"
	f := x.machine.facts[w.machine]
	if x.c.restarts == 0 && !x.c.closes {
		return
	}
	switch {
	case f.open[0]&2 != 0 && (w.chains[0].session == 2 || w.isCut(0)):
		n := w
		n.machine, n.closing = x.machine.apply(w.machine, action{what: "close"},
			func() Event { return CloseSession{id} }), 0
		emit(action{what: "close the session"}, n)
	case f.firstClosed && (w.closing >= x.c.ticks || x.c.broken.has(brokenRemoveAtOnce)):
		n := w
		n.machine, n.closing = x.machine.apply(w.machine, action{what: "remove"},
			func() Event { return RemoveSession{id} }), 0
		emit(action{what: "remove the session"}, n)
	}
}

// hold is what a center's relay and guard do.
func (x *explorer) hold(w world, i int, emit func(action, world)) {
	x.registerAgain(w, i, emit)
	if x.c.relays {
		x.relay(w, i, emit)
		x.ask(w, i, emit)
	} else {
		x.fetchDirect(w, i, emit)
	}
	x.ack(w, i, emit)
}

// server says what a server answers to a session now; ok is false when it answers nothing.
func (x *explorer) server(w *world, i int) (answer permit, ok bool) {
	ch := &w.chains[i]
	registered := x.machine.facts[w.machine].open[i]&(1<<ch.session) != 0 || x.c.broken.has(brokenRegisterLater)
	if w.isCut(i) || !registered {
		return permit{}, false
	}
	return permit{x.machine.facts[w.machine].view, x.c.ticks}, true
}

func (x *explorer) relay(w world, i int, emit func(action, world)) {
	ch := w.chains[i]
	if ch.session == 2 && !w.isCut(i) {
		n := w
		n.machine = x.machine.apply(w.machine, action{"open", i, 2},
			func() Event { return OpenSession{relaySession(i, 2)} })
		emit(action{what: "relay opens its second session"}, n)
	}
	if answer, ok := x.server(&w, i); ok {
		n := w
		n.chains[i].fetched = answer
		emit(action{what: "a server answers the relay"}, n)
		if x.c.broken.has(brokenStaleRead) && w.stale != 0 {
			n.chains[i].fetched.view = w.stale
			emit(action{what: "a server answers without reading"}, n)
		}
	}
	if x.c.broken.has(brokenStaleRead) {
		n := w
		n.stale = x.machine.facts[w.machine].view
		emit(action{what: "a server catches up"}, n)
	}
	if ch.fetched.view != 0 {
		n := w
		n.chains[i].held, n.chains[i].fetched = ch.fetched, permit{}
		emit(action{what: "the relay hears the answer"}, n)
	}
}

// ask is the guard's: it tells the relay what it has closed, and the relay answers from what it holds.
func (x *explorer) ask(w world, i int, emit func(action, world)) {
	ch := w.chains[i]
	if ch.held.view != 0 {
		n := w
		c := &n.chains[i]
		answer := c.held
		if x.c.broken.has(brokenRelayGrantsFullT) && answer.left > 0 {
			answer.left = x.c.ticks
		}
		if x.c.lateAnswers && c.answer.view != 0 && c.late.view == 0 {
			c.late = c.answer
		}
		c.answer, c.sub, c.closed = answer, max(c.sub, answer.left), x.closed(&w, i)
		emit(action{what: "the guard asks, the relay answers", a: i}, n)
	}
	if ch.answer.view != 0 {
		n := w
		x.hear(&n.chains[i], ch.answer)
		n.chains[i].answer = permit{}
		emit(action{what: "the guard hears the answer", a: i}, n)
	}
	if ch.late.view != 0 {
		n := w
		x.hear(&n.chains[i], ch.late)
		n.chains[i].late = permit{}
		emit(action{what: "the guard hears a late answer", a: i}, n)
	}
}

// hear takes an answer, unless it would go back (rule 6).
func (x *explorer) hear(ch *chain, answer permit) {
	have, next := x.machine.views[ch.guard.view], x.machine.views[answer.view]
	if !x.c.broken.has(brokenGuardGoesBack) {
		for shard := range next {
			if next[shard].since < have[shard].since {
				return
			}
		}
	}
	ch.guard = answer
}

// closed are the freezes under which a guard refuses, and has nothing in flight, by shard.
func (x *explorer) closed(w *world, i int) (closed [2]uint8) {
	for shard, v := range x.machine.views[w.chains[i].guard.view] {
		busy := slices.ContainsFunc(w.writes[:], func(wr write) bool {
			return (wr.state == inFlight || wr.state == pending) && int(wr.cell) == i && int(wr.shard) == shard
		})
		if v.left&(1<<i) != 0 && v.frozen && (!busy || x.c.broken.has(brokenAckWithoutDrain)) {
			closed[shard] = v.since
		}
	}
	return closed
}

// fetchDirect is a guard with a session of its own.
func (x *explorer) fetchDirect(w world, i int, emit func(action, world)) {
	if answer, ok := x.server(&w, i); ok {
		n := w
		n.chains[i].guard = answer
		n.chains[i].held = permit{view: answer.view}
		emit(action{what: "a server answers the guard", a: i}, n)
	}
}

// ack acknowledges a freeze: everything below refuses, with nothing in flight, or has no permit any more.
func (x *explorer) ack(w world, i int, emit func(action, world)) {
	ch := w.chains[i]
	closed := ch.closed
	if !x.c.relays {
		closed = x.closed(&w, i)
	}
	for shard, v := range x.machine.views[ch.held.view] {
		if v.left&(1<<i) == 0 || shard == 1 && x.machine.views[ch.held.view][0].since == v.since {
			continue
		}
		if x.mayAck(ch, closed, v.since) && (ch.ackFreeze != v.since || ch.ackSession != ch.session) {
			n := w
			n.chains[i].ackSession, n.chains[i].ackFreeze = ch.session, v.since
			emit(action{what: "the relay acknowledges", a: i, b: int(v.since)}, n)
		}
	}
	if ch.ackFreeze != 0 && !w.isCut(i) {
		n := w
		n.machine = x.machine.apply(w.machine, action{"ack", i, int(ch.ackSession)<<8 | int(ch.ackFreeze)},
			func() Event {
				return AckFreeze{relaySession(i, int(ch.ackSession)).ID, uint64(ch.ackFreeze)}
			})
		emit(action{what: "the acknowledgement arrives", a: i, b: int(ch.ackFreeze)}, n)
	}
}

func (x *explorer) mayAck(ch chain, closed [2]uint8, freeze uint8) bool {
	if x.c.broken.has(brokenAckByPosition) {
		return true
	}
	if ch.boot < x.c.ticks && !x.c.broken.has(brokenSessionKept) {
		return false
	}
	for shard, v := range x.machine.views[ch.held.view] {
		if v.since == freeze && v.frozen && closed[shard] != freeze && (ch.sub > 0 || !x.c.relays) {
			return false
		}
	}
	return true
}
