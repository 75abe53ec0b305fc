package switchover

import (
	"fmt"
	"maps"
)

func (d *draft) declare(e Declare) []Problem {
	if have := d.Switchovers[e.Name]; have != nil {
		if have.UID == e.UID {
			return nil
		}
		return problem("metadata.name", e.Name, "exists already")
	}
	sw := &Switchover{Name: e.Name, UID: e.UID, Mode: e.Request.Mode, Phase: PhasePlanned, Plan: e.Plan,
		Hash:  e.Plan.Hash(),
		Facts: maps.Clone(e.Request.Facts), Supersedes: e.Request.Supersedes}
	if problems := d.check(sw); len(problems) > 0 {
		return problems
	}
	d.Switchovers = put(d.Switchovers, e.Name, sw)
	return nil
}

func (d *draft) retire(e Retire) []Problem {
	sw := d.Switchovers[e.Name]
	if sw == nil {
		return nil
	}
	if sw.Phase.Running() {
		return problem("status.phase", sw.Phase, "the switchover is running: abort it, or wait for its end")
	}
	d.Switchovers = without(d.Switchovers, e.Name)
	return nil
}

func (d *draft) approve(e Approve) []Problem {
	sw := d.Switchovers[e.Name]
	if sw != nil && sw.Hash != e.Hash {
		return problem("planHash", e.Hash, "the plan's is %s: look at the plan again", sw.Hash)
	}
	sw, do, problems := d.at(e.Name, e.UID, PhasePlanned)
	if !do {
		return problems
	}
	if now := e.Plan.Hash(); now != sw.Hash {
		return problem("planHash", e.Hash, "what would move now has another plan (%s): declare the switchover "+
			"again", now)
	}
	if problems := d.check(sw); len(problems) > 0 {
		return problems
	}
	d.supersede(sw)
	d.takeOver(sw)
	sw = d.editSwitchover(e.Name)
	sw.Phase, sw.Approver = PhaseApproved, e.Approver
	d.lock(sw.Plan, e.Name)
	d.want(sw.Plan)
	d.settle()
	return nil
}

// supersede ends the switchover that another one takes over from. Its locks go over with lock.
func (d *draft) supersede(by *Switchover) {
	if by.Supersedes == "" {
		return
	}
	old := d.editSwitchover(by.Supersedes)
	if old.Phase < PhaseOpened {
		d.editSwitchover(by.Name).NoReturn = true
	}
	old.Phase, old.Message = PhaseSuperseded, fmt.Sprintf("switchover %s took over in phase %s", by.Name, old.Phase)
}

// lock gives all that a plan touches to a switchover; an empty name gives it back (rule 16).
func (d *draft) lock(p Plan, name string) {
	d.changeMoves(p, false, func(_ Move, r *Range) { r.Lock = name })
	for _, move := range p.Stores {
		d.editStore(move.Store).Lock = name
	}
}

func (d *draft) freeze(e Freeze) []Problem {
	sw, do, problems := d.at(e.Name, e.UID, PhaseApproved)
	if !do {
		return problems
	}
	epoch := d.nextEpoch()
	d.changeMoves(sw.Plan, true, func(_ Move, r *Range) {
		r.Frozen, r.Since, r.Left = !d.broken.has(brokenNoFreeze), epoch, r.Cells
	})
	sw = d.editSwitchover(e.Name)
	sw.Phase, sw.Freeze = PhaseFrozen, epoch
	// In flight drains into the old primary when it lives. When it may be dead, its permit must end with those of the
	// guards.
	if sw.Mode == Disaster && !d.broken.has(brokenStorePermitKept) {
		d.accept(sw.Plan, false)
	}
	d.advance(e.Name)
	return nil
}

func (d *draft) accept(p Plan, accepting bool) {
	for _, move := range p.Stores {
		d.editStore(move.Store).Accepting = accepting
	}
}

// ackFreezes takes acknowledgements one after the other. Each is of one freeze, and switchovers that are frozen share
// nothing, so those of one switchover can be taken together: what is known of the others is copied once for all of them.
func (d *draft) ackFreezes(acks ...AckFreeze) []Problem {
	for name, sw := range sorted(d.Switchovers) {
		if sw.Phase != PhaseFrozen {
			continue
		}
		centers := d.leftCenters(sw)
		var acked map[string]bool
		for _, e := range acks {
			session := d.Sessions[e.Session]
			if session == nil || sw.Freeze != e.Freeze && !d.broken.has(brokenAckOfAnyFreeze) || sw.Acked[e.Session] ||
				!session.concerned(centers) {
				continue
			}
			if acked == nil {
				acked = make(map[string]bool, len(sw.Acked)+len(acks))
				maps.Copy(acked, sw.Acked)
			}
			acked[e.Session] = true
		}
		if acked != nil {
			d.editSwitchover(name).Acked = acked
			d.advance(name)
		}
	}
	return nil
}

// waitedOut is for disasters: what is planned moves what is alive, and waits until that has drained (rule 17).
func (d *draft) waitedOut(e WaitedOut) []Problem {
	sw := d.Switchovers[e.Name]
	if sw != nil && sw.UID == e.UID && sw.Mode != Disaster && !d.broken.has(brokenWaitInPlanned) {
		return problem("spec.mode", sw.Mode, "only a Disaster goes on without acknowledgements")
	}
	sw, do, problems := d.at(e.Name, e.UID, PhaseFrozen, PhaseFencing)
	if !do {
		return problems
	}
	if e.Freeze != sw.Freeze {
		return problem("freeze", e.Freeze, "the switchover's is %d", sw.Freeze)
	}
	if sw.WaitedOut {
		return nil
	}
	d.editSwitchover(e.Name).WaitedOut = true
	d.advance(e.Name)
	return nil
}

func (d *draft) commit(e Commit) []Problem {
	sw, do, problems := d.at(e.Name, e.UID, PhaseCaughtUp)
	if !do {
		return problems
	}
	epoch := d.nextEpoch()
	if d.broken.has(brokenTwoDocuments) && d.unfreeze(sw) {
		return nil
	}
	d.changeMoves(sw.Plan, true, func(m Move, r *Range) {
		r.Unit, r.Cells, r.Left, r.Since, r.Frozen = m.ToUnit, m.ToCells, nil, epoch, true
	})
	sw = d.editSwitchover(e.Name)
	sw.Phase, sw.Commit, sw.NoReturn = PhaseCommitted, epoch, true
	d.want(sw.Plan)
	if len(sw.Plan.Stores) > 0 {
		d.order(e.Name, Promote, epoch)
	}
	d.advance(e.Name)
	return nil
}

// unfreeze is the first of two documents, where that is planted.
func (d *draft) unfreeze(sw *Switchover) (changed bool) {
	d.changeMoves(sw.Plan, true, func(_ Move, r *Range) {
		if r.Frozen {
			r.Frozen, r.Since, r.Left, changed = false, d.Epoch, nil, true
		}
	})
	return changed
}

func (d *draft) converged(e Converged) []Problem {
	sw, do, problems := d.at(e.Name, e.UID, PhaseOpened)
	if !do {
		return problems
	}
	if !d.obeyed(sw) {
		return problem("status.phase", sw.Phase, "a store has not reported that it is open")
	}
	d.end(e.Name, PhaseDone, e.Message)
	return nil
}

// abort gives everything back to the old owner, under a new epoch when it was taken away. The epoch comes first: what
// is ordered under it beats everything that was ordered before (rule 13).
func (d *draft) abort(e Abort) []Problem {
	sw := d.Switchovers[e.Name]
	switch {
	case sw == nil || sw.UID != e.UID:
		return problem("metadata.name", e.Name, "there is no such switchover")
	case sw.Phase == PhaseAborted:
		return nil
	case sw.Phase.Ended():
		return problem("status.phase", sw.Phase, "it has ended")
	case sw.NoReturn && !d.broken.has(brokenAbortAfterCommit):
		return problem("status.phase", sw.Phase, "there is no way back past the commit, only on: wait, declare a "+
			"Disaster that "+
			"supersedes it, or move back by another switchover when it has ended")
	}
	if sw.Phase >= PhaseFrozen {
		d.rollBack(e.Name)
	}
	d.end(e.Name, PhaseAborted, e.Reason)
	return nil
}

func (d *draft) rollBack(name string) {
	epoch := d.nextEpoch()
	plan := d.Switchovers[name].Plan
	d.changeMoves(plan, true, func(m Move, r *Range) {
		r.Unit, r.Cells, r.Frozen, r.Left, r.Since = m.Unit, m.Cells, false, nil, epoch
	})
	closed := len(plan.Stores) > 0 && !d.Stores[plan.Stores[0].Store].Accepting
	if !closed {
		return
	}
	d.order(name, Unfence, epoch)
	for _, move := range plan.Stores {
		store := d.editStore(move.Store)
		store.Accepting, store.Fenced = true, false
	}
}

// end ends a switchover, and gives back its locks.
func (d *draft) end(name string, phase Phase, message string) {
	sw := d.editSwitchover(name)
	if sw.Phase.Running() {
		d.lock(sw.Plan, "")
	}
	sw.Phase, sw.Message = phase, message
	d.want(sw.Plan)
}

// at finds a switchover for a step that is made in one of the phases want, in order. There may be nothing to do: with
// problems when the step is refused, with none when it has been made.
func (d *draft) at(name, uid string, want ...Phase) (sw *Switchover, do bool, problems []Problem) {
	sw = d.Switchovers[name]
	first, last := want[0], want[len(want)-1]
	switch {
	case sw == nil:
		return nil, false, problem("metadata.name", name, "there is no such switchover")
	case sw.UID != uid:
		return nil, false, problem("metadata.uid", uid, "the switchover of this name is another one, %s", sw.UID)
	case sw.Phase > PhaseDone:
		return nil, false, problem("status.phase", sw.Phase, "it has ended")
	case sw.Phase < first:
		return nil, false, problem("status.phase", sw.Phase, "must be %s first", first)
	}
	return sw, sw.Phase <= last, nil
}
