package switchover

// restoredScenarios are those in which everything is lost and restored from a backup: unit u was in b, and is moved to a
// after the backup, or while it is made. Old guards, permits, calls and reports live on.
func restoredScenarios() []scenario {
	alone := scenario{active: "b", ticks: 1, chains: 2, writes: 1, deadlines: true, losses: 1, after: 1}
	stored := scenario{active: "b", primary: "b", members: 3, synchronous: true, ticks: 1, chains: 1, writes: 1,
		losses: 1, after: 1}
	pair := scenario{active: "b", primary: "b", members: 2, ticks: 1, chains: 1, writes: 2, losses: 1, after: 1}
	to := func(mode Mode, center, primary string) Request {
		return Request{Mode: mode, AcceptDataLoss: true,
			Moves: []MoveRequest{{Unitization: "users", Unit: "u", ToCenters: []string{center}, ToPrimary: primary}}}
	}
	moved, here, byHand := to(Planned, "a", "a"), to(Disaster, "b", ""), to(Disaster, "b", "b")
	return []scenario{
		with(alone, "restored, permits alone, without faults", func(c *scenario) { c.liveness = true },
			to(Planned, "a", ""), here),
		with(pair, "restored, with a store, without faults", func(c *scenario) { c.liveness, c.writes = true, 1 }, moved),
		with(alone, "restored, permits alone", func(c *scenario) {
			c.leaders, c.cuts, c.cutCenter, c.ticks, c.writes = 1, 1, 0, 2, 2
		}, to(Planned, "a", ""), here),
		with(stored, "restored, a store with permits", func(c *scenario) {
			c.holdsPermit, c.cuts, c.chains = true, 1, 0
		}, moved),
		with(pair, "restored, a store without permits", func(c *scenario) { c.hangs = 1 }, moved),
		with(stored, "restored, the primary out of reach", func(c *scenario) { c.cuts = 1 }, moved),
		with(stored, "restored twice", func(c *scenario) { c.holdsPermit, c.losses, c.after, c.chains = true, 2, 0, 0 }),
		with(pair, "restored, and decided by hand", func(c *scenario) {
			c.cuts, c.aborts, c.writes, c.lossy = 1, 1, 1, true
		}, moved, byHand),
		with(pair, "restored from a backup of any instant", func(c *scenario) { c.anyBackup, c.writes, c.forgets = true, 1, 1 }, moved),
	}
}

// lose makes the backup, loses everything but what is outside of the servers, and restores.
func (x *explorer) lose(w world, emit func(action, world)) {
	if w.saved == 0 && w.lost == 0 {
		n := w
		n.saved = w.machine + 1
		emit(action{what: "backup"}, n)
	}
	if w.saved == 0 || w.losses == 0 {
		return
	}
	n := w
	n.losses--
	life := int(x.c.losses - n.losses)
	if x.c.broken.has(brokenIncarnationReused) {
		life = 1
	}
	n.machine = x.machine.apply(w.saved-1, action{what: "restore", a: life}, func() Event {
		return Reincarnate{Epoch: 100 * uint64(life), Wait: 1}
	})
	n.lost, n.rested, n.waited, n.closing = x.machine.facts[w.machine].view, 0, [3]uint8{}, 0
	if n.losses == 0 {
		n.saved = 0
	}
	emit(action{what: "everything is lost, and restored"}, n)
}

// leadRestored waits for the end of permits, and decides when it can.
func (x *explorer) leadRestored(w world, emit func(action, world)) {
	f := x.machine.facts[w.machine]
	switch {
	case f.restored == 1 && (w.rested >= x.c.ticks || x.c.broken.has(brokenNoWait)):
		n := w
		n.rested = 0
		n.machine = x.machine.apply(w.machine, action{what: "reconcile"}, func() Event { return Reconcile{World: x.world} })
		emit(action{what: "the leader has waited, and reconciles"}, n)
	case f.restored == 2 && f.found:
		n := w
		n.machine = x.machine.apply(w.machine, action{what: "find"}, func() Event {
			return Reconcile{World: x.world, Stores: []string{"s"}}
		})
		emit(action{what: "the leader finds the primary"}, n)
	}
}

// registerAgain has a holder whose session is in the log no more register it.
func (x *explorer) registerAgain(w world, i int, emit func(action, world)) {
	session := int(w.chains[i].session)
	if w.lost == 0 || w.isCut(i) || x.machine.facts[w.machine].open[i]&(1<<session) != 0 {
		return
	}
	n := w
	n.machine = x.machine.apply(w.machine, action{"open", i, session},
		func() Event { return OpenSession{relaySession(i, session)} })
	emit(action{what: "the holder registers again", a: i}, n)
}

// active are the centers whose cells may take writes. What was restored says nothing of who did last: until a range is
// open again those of before may, as they were when everything was lost.
func (x *explorer) active(w *world, shard uint8) uint8 {
	now := x.machine.views[x.machine.facts[w.machine].view][shard]
	if w.lost != 0 && now.frozen {
		return now.cells | x.machine.views[w.lost][shard].cells
	}
	return now.cells
}

// restoredPlants break what keeps a restored estate safe: rule 8 of intent.
func restoredPlants() []plant {
	e := scenarioNamed
	alone, permits, pair := e("restored, permits alone"), e("restored, a store with permits"),
		e("restored, a store without permits")
	quiet, out := e("restored, with a store, without faults"), e("restored, the primary out of reach")
	byHand := e("restored, and decided by hand")
	return []plant{
		{"8", "no wait for the permits of before", alone, 0, brokenNoWait, wrongCell},
		{"8", "no wait where the store holds permits", permits, 0, brokenNoWait, twoPrimaries},
		{"8", "what was restored is open at once, as it was", alone, brokenRestoredOpen, 0, wrongCell},
		{"8", "a restored store is open at once", pair, brokenRestoredOpen, 0, twoPrimaries},
		{"8", "no fence", quiet, brokenFoundUnfenced, 0, twoPrimaries},
		{"8", "the backup's primary is believed", quiet, brokenBackupBelieved, 0, lost},
		{"8", "the highest token is believed", permits, brokenTokenBelieved, 0, lost},
		{"8", "a majority, where members hold no permits", out, brokenFoundByMajority, 0, twoPrimaries},
		{"8", "an incarnation is used twice", e("restored twice"), 0, brokenIncarnationReused, wrongCell},
		{"8", "the backup's primary is evidence for all", byHand, brokenPrimaryCertain, 0, twoPrimaries},
		{"8", "a switchover of what was restored is rolled back", byHand, brokenTakeOverAborted, 0, twoPrimaries},
		{"14", "a report of another life counts", pair, brokenReportOfAnyStep, 0, twoPrimaries},
		{"15", "a restored store's member obeys lower tokens", pair, 0, brokenTokensIgnored, oldPrimary},
	}
}
