package switchover

func (w *world) isCut(center int) bool { return w.cut&(1<<center) != 0 }

func lower(n uint8) uint8 {
	if n == 0 {
		return 0
	}
	return n - 1
}

// tick is time passing, for all clocks alike.
func (x *explorer) tick(w world, emit func(action, world)) {
	for i := range w.chains[:x.c.chains] {
		ch := &w.chains[i]
		ch.guard.left, ch.held.left, ch.sub = lower(ch.guard.left), lower(ch.held.left), lower(ch.sub)
		if !x.c.broken.has(brokenCountFromAnswer) {
			ch.answer.left, ch.late.left, ch.fetched.left = lower(ch.answer.left), lower(ch.late.left),
				lower(ch.fetched.left)
		}
		ch.boot = min(ch.boot+1, x.c.ticks)
	}
	if x.c.deadlines && !x.c.broken.has(brokenDeadlines) {
		w.expire()
	}
	for m := range w.members {
		w.members[m].left = lower(w.members[m].left)
	}
	f := &x.machine.facts[w.machine]
	for i, phase := range f.phases {
		disaster := i < len(x.c.requests) && x.c.requests[i].Mode == Disaster ||
			x.c.brokenMachine.has(brokenWaitInPlanned)
		if disaster && (phase == PhaseFrozen || phase == PhaseFencing) {
			w.waited[i] = min(w.waited[i]+1, x.c.ticks)
		}
	}
	if w.lost != 0 && f.restored == 1 {
		w.rested = min(w.rested+1, x.c.ticks)
	}
	if f.firstClosed {
		w.closing = min(w.closing+1, x.c.ticks)
	}
	emit(action{what: "tick"}, w)
}

// expire ends the writes in flight whose permits have ended.
func (w *world) expire() {
	for i := range w.writes {
		wr := &w.writes[i]
		if wr.left = lower(wr.left); wr.state == inFlight && wr.left == 0 {
			*wr = write{state: over}
		}
	}
}

// faults are what goes wrong: each as often as the scenario has it.
func (x *explorer) faults(w world, emit func(action, world)) {
	if w.leaders > 0 {
		n := w
		n.leaders--
		if x.c.broken.has(brokenWaitFromLog) {
			n.waited, n.closing = [3]uint8{x.c.ticks, x.c.ticks, x.c.ticks}, x.c.ticks
		} else {
			n.waited, n.closing, n.rested = [3]uint8{}, 0, 0
		}
		emit(action{what: "another leader"}, n)
	}
	if w.restarts > 0 {
		n := w
		n.restarts--
		ch := &n.chains[0]
		*ch = chain{guard: ch.guard, answer: ch.answer, late: ch.late, session: 2, ackSession: ch.ackSession,
			ackFreeze: ch.ackFreeze}
		if x.c.broken.has(brokenSessionKept) {
			ch.session = 1
		}
		emit(action{what: "relay restarts"}, n)
	}
	if w.cuts > 0 && !w.isCut(x.c.cutCenter) {
		n := w
		n.cuts--
		n.cut |= 1 << x.c.cutCenter
		emit(action{what: "cut", a: x.c.cutCenter}, n)
	}
	if w.cut != 0 && !x.c.forGood {
		n := w
		n.cut = 0
		emit(action{what: "heal"}, n)
	}
	if w.forgets > 0 {
		for m := range x.c.members {
			n := w
			n.forgets--
			n.members[m].report, n.members[m].hung, n.members[m].left = reported{}, 0, 0
			emit(action{what: "agent restarts", a: m}, n)
		}
	}
}
