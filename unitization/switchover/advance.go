package switchover

// advance goes through every phase that waits for nothing any more.
func (d *draft) advance(name string) {
	for d.pass(name) {
	}
}

// pass goes from one phase to the next, if what the phase waits for is there.
func (d *draft) pass(name string) bool {
	sw := d.Switchovers[name]
	switch sw.Phase {
	case PhaseFrozen:
		return d.passFrozen(sw)
	case PhaseFencing:
		return d.passFencing(sw)
	case PhaseCatchingUp:
		if !d.obeyed(sw) {
			return false
		}
		d.caughtUp(name)
	case PhaseCommitted:
		if !d.obeyed(sw) {
			return false
		}
		d.open(name)
	}
	return false
}

func (d *draft) caughtUp(name string) {
	sw := d.Switchovers[name]
	switch {
	case d.broken.has(brokenCatchUpBeforeFence) && len(sw.Plan.Stores) > 0:
		d.enter(name, PhaseFencing)
		d.order(name, Fence, sw.Freeze)
		return
	case d.broken.has(brokenPromoteBeforeCommit):
		d.order(name, Open, sw.Freeze)
	}
	d.enter(name, PhaseCaughtUp)
}

func (d *draft) enter(name string, phase Phase) { d.editSwitchover(name).Phase = phase }

func (d *draft) passFrozen(sw *Switchover) bool {
	if !sw.WaitedOut && !d.drained(sw) {
		return false
	}
	if len(sw.Plan.Stores) == 0 {
		d.enter(sw.Name, PhaseCaughtUp)
		return false
	}
	d.accept(sw.Plan, false)
	if d.broken.has(brokenFenceSkipped) || d.broken.has(brokenCatchUpBeforeFence) {
		d.catchUp(sw.Name)
		return true
	}
	d.enter(sw.Name, PhaseFencing)
	d.order(sw.Name, Fence, sw.Freeze)
	return true
}

// drained says whether nobody is waited for any more. It stops at the first: there may be a thousand.
func (d *draft) drained(sw *Switchover) bool {
	centers := d.leftCenters(sw)
	for id, session := range d.Sessions {
		concerned := session.concerned(centers) && !sw.Acked[id]
		if concerned && !(session.Closed && d.broken.has(brokenClosedNotConcerned)) {
			return d.broken.has(brokenOneIsEnough) && len(sw.Acked) > 0
		}
	}
	return true
}

func (d *draft) passFencing(sw *Switchover) bool {
	for _, move := range sw.Plan.Stores {
		if !d.fenced(sw, move) {
			return false
		}
	}
	d.recordFence(sw)
	switch {
	case d.broken.has(brokenCatchUpBeforeFence), d.broken.has(brokenCatchUpSkipped):
		d.enter(sw.Name, PhaseCaughtUp)
	default:
		d.catchUp(sw.Name)
	}
	return true
}

// catchUp has the new primaries take over what was written, up to the highest position that was read at the fence.
func (d *draft) catchUp(name string) {
	d.enter(name, PhaseCatchingUp)
	d.order(name, CatchUp, d.Switchovers[name].Freeze)
}

// open is the entry that ends the freeze: the new primaries are ready, the ranges and the stores open under one epoch.
func (d *draft) open(name string) {
	epoch := d.nextEpoch()
	sw := d.Switchovers[name]
	d.changeMoves(sw.Plan, true, func(_ Move, r *Range) { r.Frozen, r.Since = false, epoch })
	for _, move := range sw.Plan.Stores {
		d.opens(move.Store, move.Target)
	}
	d.order(name, Open, epoch)
	d.enter(name, PhaseOpened)
	d.settle()
}

// opens gives a store's permit to its primary.
func (d *draft) opens(name, primary string) {
	store := d.editStore(name)
	store.Primary, store.Accepting, store.Fenced, store.Restored = primary, true, false, false
}
