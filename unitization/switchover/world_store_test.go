package switchover

import "math/bits"

// write is what becomes of the two writes: a guard admits, a member takes, a majority has it.
func (x *explorer) write(w world, emit func(action, world)) {
	for i, wr := range w.writes[:x.c.writes] {
		switch wr.state {
		case unborn:
			if i == 0 || w.writes[0].state != unborn {
				x.admit(w, i, emit)
			}
		case inFlight:
			x.arrive(w, i, emit)
		case pending:
			x.finish(w, i, emit)
		}
	}
}

// admit: the shards of one range are alike, so there writes are for the first. Of different units, one is for each,
// or both for one.
func (x *explorer) admit(w world, i int, emit func(action, world)) {
	shards := 1
	if x.c.twoUnits {
		shards = 2
	}
	for center := range len(centers) {
		for shard := range shards {
			since, ok := x.admits(&w, center, shard)
			if !ok {
				continue
			}
			n := w
			n.writes[i] = write{state: inFlight, cell: uint8(center), shard: uint8(shard), since: since}
			if x.c.deadlines {
				n.writes[i].left = x.c.ticks
				if center < x.c.chains {
					n.writes[i].left = w.chains[center].guard.left
				}
			}
			emit(action{"a guard admits a write", center, i}, n)
		}
	}
}

// admits says whether the guard of a center's cell takes a write for a shard, and since when it may.
func (x *explorer) admits(w *world, center, shard int) (since uint8, ok bool) {
	p := permit{x.machine.facts[w.machine].view, 1}
	if center < x.c.chains {
		p = w.chains[center].guard
	}
	v := x.machine.views[p.view][shard]
	return v.since, v.cells&(1<<center) != 0 && !v.frozen && (p.left > 0 || x.c.broken.has(brokenGuardWithoutEnd))
}

func (x *explorer) arrive(w world, i int, emit func(action, world)) {
	wr := w.writes[i]
	for m := range x.c.members {
		if !x.accepts(&w, m) || m != int(wr.cell) && (w.isCut(m) || w.isCut(int(wr.cell))) {
			continue
		}
		if wr.since < w.members[m].kept && !x.c.broken.has(brokenSinceIgnored) {
			continue // admitted before the store was fenced
		}
		n := w
		to := &n.members[m]
		to.log |= 1 << i
		to.tail = to.kept
		n.writes[i].at, n.writes[i].token, n.writes[i].state = uint8(m), to.kept, pending
		if !x.c.synchronous {
			x.accept(&n, i)
		}
		emit(action{"a member takes the write", m, i}, n)
	}
	n := w
	n.writes[i] = write{state: over}
	emit(action{"the write is refused", int(wr.cell), i}, n)
	if x.c.members == 0 {
		n.writes[i] = wr
		x.accept(&n, i)
		emit(action{"the workload takes the write", int(wr.cell), i}, n)
	}
}

// finish ends a write that the primary has: it is acknowledged when a majority has it and the primary may still.
func (x *explorer) finish(w world, i int, emit func(action, world)) {
	wr := w.writes[i]
	at := int(wr.at)
	have := 0
	for m := range x.c.members {
		have += int(w.members[m].log >> i & 1)
	}
	n := w
	if x.accepts(&w, at) && w.members[at].kept == wr.token && 2*have > x.c.members {
		x.accept(&n, i)
		emit(action{"a write is acknowledged", at, i}, n)
		return
	}
	if !w.members[at].open || w.members[at].kept != wr.token {
		n.writes[i] = write{state: over}
		emit(action{"a write is given up", at, i}, n)
	}
}

// accept is the instant at which a write counts: here is what a switchover must never break.
func (x *explorer) accept(w *world, i int) {
	wr := w.writes[i]
	active := x.active(w, wr.shard)
	switch {
	case wr.token < w.top[wr.shard]:
		x.violated = "an old primary accepts a write after a new one has"
	case active&(1<<wr.cell) == 0:
		x.violated = "a write is accepted through a cell that is not active"
	}
	w.top[wr.shard] = max(w.top[wr.shard], wr.token)
	w.writes[i] = write{state: accepted}
}

// replicate copies the primary's log to another member, which compares tokens; and renews the primary's permit.
func (x *explorer) replicate(w world, from int, emit func(action, world)) {
	if x.c.holdsPermit && int(x.machine.facts[w.machine].primary) == from && !w.isCut(from) {
		n := w
		n.members[from].left = x.c.ticks
		emit(action{what: "the store's permit is renewed", a: from}, n)
	}
	if !x.c.synchronous || !x.accepts(&w, from) {
		return
	}
	p := w.members[from]
	for m := range x.c.members {
		compares := p.kept >= w.members[m].kept || x.c.broken.has(brokenTokensIgnored)
		if m == from || w.isCut(m) || w.isCut(from) || !compares {
			continue
		}
		n := w
		to := &n.members[m]
		to.log, to.tail, to.kept = p.log, p.tail, max(p.kept, to.kept)
		emit(action{"a replica takes what the primary has", from, m}, n)
	}
}

// agent obeys the order in force, or one of before, for the member beside it, and reports.
func (x *explorer) agent(w world, m int, emit func(action, world)) {
	order := x.machine.facts[w.machine].order
	if order != 0 && !w.isCut(m) {
		if o := x.machine.orders[order]; o.Member == "" || indexOf(o.Member) == m {
			x.obey(w, m, order, "the agent obeys", emit)
			if w.hangs > 0 && w.members[m].hung == 0 {
				n := w
				n.hangs--
				n.members[m].hung = order
				emit(action{what: "the agent's call hangs", a: m}, n)
			}
		}
	}
	if hung := w.members[m].hung; hung != 0 {
		x.obey(w, m, hung, "a hung call comes through", emit)
	}
	if r := w.members[m].report; r.order != 0 && !w.isCut(m) {
		n := w
		name := action{"report", m, int(r.before)<<24 | int(r.order)<<16 | int(r.tail)<<8 | int(r.index)}
		if r.primary {
			name.b |= 1 << 32
		}
		n.machine = x.machine.apply(w.machine, name, func() Event { return x.report(m, r) })
		for i, phase := range x.machine.facts[n.machine].phases {
			if phase != PhaseFrozen && phase != PhaseFencing {
				n.waited[i] = 0
			}
		}
		emit(action{what: "a report arrives", a: m}, n)
	}
	if x.c.broken.has(brokenControllerCalls) {
		x.call(w, m, emit)
	}
}

func (x *explorer) report(m int, r reported) Event {
	o := x.machine.orders[r.order]
	return StoreReported{Store: "s", Member: string(centers[m]), UID: o.UID, Report: Report{Step: o.Step,
		Token:    o.Token,
		Position: Position{Epoch: uint64(r.tail), Index: uint64(r.index)}, Primary: r.primary,
		Before: uint64(r.before)}}
}

// obey carries an order out, unless its token is lower than the one that is kept (rule 15).
func (x *explorer) obey(w world, m int, order uint8, what string, emit func(action, world)) {
	o := x.machine.orders[order]
	member := &w.members[m]
	was := *member
	if uint8(o.Token) < member.kept && !x.c.broken.has(brokenTokensIgnored) {
		return
	}
	if !x.c.broken.has(brokenTokenForgotten) {
		member.kept = uint8(o.Token)
	}
	switch o.Action {
	case Fence, Promote:
		member.open = false
	case CatchUp:
		if !x.catchUp(&w, m, o.Position) {
			return
		}
	case Open, Unfence:
		member.open = true
	}
	member.report = reported{order: order, tail: member.tail, index: uint8(bits.OnesCount8(member.log))}
	if x.c.losses > 0 && o.Action == Fence {
		member.report.primary, member.report.before = was.open, was.kept
		if was.report.order == order {
			member.report.primary, member.report.before = was.report.primary, was.report.before
		}
	}
	emit(action{what + ": " + o.Action.String(), m, int(o.Token)}, w)
}

// catchUp takes the log of a member that has the position, if one is within reach.
func (x *explorer) catchUp(w *world, m int, to Position) bool {
	has := func(m int) bool { return positionOf(w.members[m]).Compare(to) >= 0 }
	if x.c.brokenMachine.has(brokenCatchUpBeforeFence) {
		to = positionOf(w.members[0]) // all that is there now
	}
	if has(m) {
		return true
	}
	for from := range x.c.members {
		if from != m && has(from) && !w.isCut(from) && !w.isCut(m) {
			w.members[m].log, w.members[m].tail = w.members[from].log, w.members[from].tail
			return true
		}
	}
	return false
}

func positionOf(m member) Position {
	return Position{Epoch: uint64(m.tail), Index: uint64(bits.OnesCount8(m.log))}
}

// call is a deposed controller that has the new primary opened by itself. Only where that is planted (rule 14).
func (x *explorer) call(w world, m int, emit func(action, world)) {
	f := x.machine.facts[w.machine]
	if f.phases[0] == PhaseCaughtUp && m == 1 && !w.isCut(m) {
		w.members[m].open, w.members[m].kept = true, f.epoch+1
		emit(action{what: "a deposed controller opens the member", a: m}, w)
	}
}
