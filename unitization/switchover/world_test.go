package switchover

// scenario is what an exploration starts from, and what may happen in it.
type scenario struct {
	name string
	// The estate: where the cells are active and the primary is, the store's terms, two units or one with two shards.
	active, primary string
	// members of the store; 0: the units have none, and a cell's own workload takes the writes.
	members                  int
	synchronous, holdsPermit bool
	twoUnits                 bool
	// requests are the switchovers x, y, z. Those of waits begin when the one before is in that phase or further.
	requests []Request
	waits    map[int]Phase
	// lossy says that acknowledged writes may be lost: a Disaster with an asynchronous store.
	lossy bool
	// ticks is T.
	ticks uint8
	// relays says that guards ask through a relay; else they hold sessions themselves. chains is how many centers,
	// from a on, have guards with clocks; guards in the others ask without delay.
	relays bool
	chains int
	// writes is how many there are, at most two.
	writes int
	// deadlines says that no write outlives the permit that it was admitted under: the assumption where no fence
	// stops what is in flight (rule 18).
	deadlines bool
	// What may happen how often.
	leaders, restarts, cuts, hangs, forgets, aborts uint8
	// cutCenter is the center that is cut off.
	cutCenter int
	// forGood says that the cut does not heal.
	forGood bool
	// abortsWhenCut has operators abort only what they see to be stuck.
	abortsWhenCut bool
	// closes lets the leader close the session of a relay that is cut off; one that has restarted always loses its
	// first.
	closes bool
	// lateAnswers lets a relay's or a server's answer come later than the next one.
	lateAnswers bool
	// losses is how often everything is lost and restored from a backup: that of the start, or, with anyBackup, one of
	// any instant. Requests from after on are made after that, the others before.
	losses    uint8
	anyBackup bool
	after     int
	// liveness looks for worlds from which no end can be reached.
	liveness bool

	brokenMachine breakage
	broken        worldBreakage
}

// worldBreakage is a set of rules of holders, relays, agents, stores and the leader that the model breaks.
type worldBreakage uint64

const (
	brokenGuardWithoutEnd worldBreakage = 1 << iota
	brokenCountFromAnswer
	brokenRelayGrantsFullT
	brokenStaleRead
	brokenRemoveAtOnce
	brokenRegisterLater
	brokenWaitTooShort
	brokenWaitFromLog
	brokenAckByPosition
	brokenAckWithoutDrain
	brokenSessionKept
	brokenGuardGoesBack
	brokenControllerCalls
	brokenTokensIgnored
	brokenStoreWithoutPermit
	brokenTokenForgotten
	brokenSinceIgnored
	brokenDeadlines
	brokenNoWait
	brokenIncarnationReused
)

func (b worldBreakage) has(rule worldBreakage) bool { return b&rule != 0 }

// world is everything at one instant. It is comparable, and small: there are millions.
type world struct {
	machine uint16
	// What is left of what may happen.
	leaders, restarts, cuts, hangs, forgets, aborts uint8
	// cut is the set of centers that are cut off.
	cut uint8
	// waited are the leader's waits since it applied each freeze; closing that since it closed the relay's first
	// session.
	waited  [3]uint8
	closing uint8
	chains  [2]chain
	writes  [2]write
	members [3]member
	// top is the highest token under which a write was accepted, by shard.
	top [2]uint8
	// stale is the view of a server that has fallen behind. Only where brokenStaleRead is planted.
	stale uint8
	// saved is the machine's state in the backup, and 1; lost the view when everything was lost; rested the leader's
	// wait since it applied the restored state.
	losses, lost, rested uint8
	saved                uint16
}

// permit is a view with what is left of its time.
type permit struct{ view, left uint8 }

// chain is a center's relay, and its guard.
type chain struct {
	guard permit
	// answer is the relay's on its way to the guard; late is one that was overtaken.
	answer, late permit
	// session is the relay's start, 1 or 2; boot how long ago it was, up to T.
	session, boot uint8
	held          permit
	// fetched is a server's answer on its way to the relay.
	fetched permit
	// sub is what is left of the guard's permit, as far as the relay knows; closed are the freezes that the guard has
	// none in flight under, by shard.
	sub    uint8
	closed [2]uint8
	// ack is an acknowledgement on its way to the leader.
	ackSession, ackFreeze uint8
}

// The states of a write.
const (
	unborn   uint8 = iota
	inFlight       // a guard admitted it
	pending        // a primary has it
	accepted
	over // refused, or given up
)

// write was admitted by the guard of a cell for a shard, in the range's state of since; at and token are those of the
// primary that took it, left is what is left of the permit that it was admitted under.
type write struct{ state, cell, shard, since, at, token, left uint8 }

// member is one of the store's, with its agent.
type member struct {
	open bool
	// kept is the highest token; tail that of the last entry; log the set of writes.
	kept, tail, log uint8
	// left is the permit's.
	left uint8
	// report is on its way to the leader; hung is an order that was passed on, and is obeyed some time later.
	report reported
	hung   uint8
}

type reported struct {
	order, tail, index uint8
	// primary and before are what the member was before a fence; only where everything may be lost.
	primary bool
	before  uint8
}

func (x *explorer) start() world {
	w := world{leaders: x.c.leaders, restarts: x.c.restarts, cuts: x.c.cuts, hangs: x.c.hangs, forgets: x.c.forgets,
		aborts: x.c.aborts, losses: x.c.losses}
	if x.c.losses > 0 && !x.c.anyBackup {
		w.saved = 1
	}
	if x.c.members > 0 {
		w.members[indexOf(x.c.primary)].open = true
	}
	for i := range w.chains[:x.c.chains] {
		w.chains[i].session, w.chains[i].boot = 1, x.c.ticks
	}
	return w
}

func indexOf(center string) int { return int(center[0] - centers[0]) }

// each goes through everything that can happen next.
func (x *explorer) each(w world, emit func(action, world)) {
	x.violated = ""
	next := emit
	emit = func(a action, n world) { next(a, x.canonical(n)) }
	x.tick(w, emit)
	x.faults(w, emit)
	x.lead(w, emit)
	if x.c.losses > 0 {
		x.lose(w, emit)
		x.leadRestored(w, emit)
	}
	for i := range w.chains[:x.c.chains] {
		x.hold(w, i, emit)
	}
	x.write(w, emit)
	for m := range x.c.members {
		x.agent(w, m, emit)
		x.replicate(w, m, emit)
	}
}

// canonical is one of all worlds that differ in nothing that counts: the writes are alike, and a message that tells
// nothing new is as good as lost.
func (x *explorer) canonical(w world) world {
	for i := range w.chains[:x.c.chains] {
		ch := &w.chains[i]
		if useless(ch.fetched, ch.held) {
			ch.fetched = permit{}
		}
		if useless(ch.answer, ch.guard) {
			ch.answer = permit{}
		}
		if useless(ch.late, ch.guard) {
			ch.late = permit{}
		}
	}
	if w.writes[1].less(w.writes[0]) {
		w.writes[0], w.writes[1] = w.writes[1], w.writes[0]
		for m := range w.members {
			log := &w.members[m].log
			*log = *log>>1&1 | *log<<1&2
		}
	}
	return w
}

func useless(message, have permit) bool {
	return message.view == have.view && message.left <= have.left
}

func (a write) less(b write) bool {
	if a.state != b.state {
		return a.state > b.state
	}
	if a.cell != b.cell {
		return a.cell < b.cell
	}
	if a.shard != b.shard {
		return a.shard < b.shard
	}
	if a.since != b.since {
		return a.since < b.since
	}
	if a.at != b.at {
		return a.at < b.at
	}
	if a.left != b.left {
		return a.left < b.left
	}
	return a.token < b.token
}

// invariants says what does not hold in a world.
func (x *explorer) invariants(w world) string {
	open := 0
	var acked uint8
	for i, wr := range w.writes {
		if wr.state == accepted {
			acked |= 1 << i
		}
	}
	for m := range w.members {
		if !x.accepts(&w, m) {
			continue
		}
		open++
		if !x.c.lossy && acked&^w.members[m].log != 0 {
			return "an acknowledged write is missing at the primary"
		}
	}
	if open > 1 {
		return "two primaries accept writes"
	}
	return ""
}

// accepts says whether a member takes writes.
func (x *explorer) accepts(w *world, m int) bool {
	member := &w.members[m]
	return member.open && (member.left > 0 || !x.c.holdsPermit || x.c.broken.has(brokenStoreWithoutPermit))
}
