package switchover

import (
	"fmt"
	"strings"
)

// Waiting says in a sentence what a switchover waits for, and what an operator can do; empty when there is no such
// switchover.
func (s State) Waiting(name string) string {
	sw := s.Switchovers[name]
	if sw == nil {
		return ""
	}
	switch sw.Phase {
	case PhasePlanned:
		return fmt.Sprintf("It waits for the approval of plan %s: look at it, then approve the switchover, or "+
			"delete it.", sw.Hash)
	case PhaseApproved:
		return s.waitingApproved(sw)
	case PhaseFrozen:
		return s.waitingFrozen(sw)
	case PhaseFencing:
		return s.waitingFencing(sw)
	case PhaseCatchingUp:
		return s.waitingCatchUp(sw)
	case PhaseCaughtUp:
		return "Everything is ready: the leader commits next. Without a leader it waits for one; abort is possible."
	case PhaseCommitted:
		return "It waits until " + s.silent(sw) + " reported the promotion. There is no way back: mend its driver or its " +
			"agent, or declare a Disaster that supersedes this switchover."
	case PhaseOpened:
		return s.waitingOpened(sw)
	case PhaseDone:
		return "It is done."
	}
	return strings.TrimSpace(fmt.Sprintf("It has ended: %s. %s", sw.Phase, sw.Message))
}

func (s State) waitingApproved(sw *Switchover) string {
	if sw.Mode == Disaster {
		return "The leader freezes it next. Without a leader it waits for one; abort is possible."
	}
	return "It waits until the relays within reach have the target's endpoints, and until those that must acknowledge " +
		"the freeze can, or their permits have ended: seconds. Then it freezes; abort is possible."
}

func (s State) waitingFrozen(sw *Switchover) string {
	var who []string
	for _, id := range s.Concerned(sw.Name) {
		session := s.Sessions[id]
		state := ""
		if session.Closed {
			state = ", closed"
		}
		who = append(who, fmt.Sprintf("%s (%s%s)", session.Name, session.Center, state))
	}
	if sw.Mode == Disaster {
		return fmt.Sprintf("It waits until %s acknowledged the freeze, or all permits of before have ended: "+
			"seconds. If it stays, "+
			"no leader waits: look at the servers.", list(who))
	}
	return fmt.Sprintf("It waits until %s acknowledged the freeze: every guard there refuses, and has no write in "+
		"flight. For those out of reach it waits until their permits have ended: seconds. %s", list(who), s.abortable(sw))
}

func (s State) waitingFencing(sw *Switchover) string {
	d := draft{State: s}
	var parts []string
	for _, move := range sw.Plan.Stores {
		if d.fenced(sw, move) {
			continue
		}
		store := s.Stores[move.Store]
		var lacks []string
		if !d.closed(sw, move) {
			lacks = append(lacks, s.lacksPrimary(sw, move, store))
		}
		reports := sw.Reports[move.Store]
		if need := len(store.Members)/2 + 1; store.Synchronous && len(reports) < need {
			lacks = append(lacks, fmt.Sprintf("%d more of the members %s (%d of %d are closed)", need-len(reports),
				list(silentMembers(store.Members, reports)), len(reports), len(store.Members)))
		}
		if _, ok := reports[move.Target]; !ok && !store.Synchronous {
			lacks = append(lacks, "the member "+move.Target)
		}
		parts = append(parts, fmt.Sprintf("store %s: %s", move.Store, strings.Join(lacks, ", and ")))
	}
	return "It waits for the fence of " + strings.Join(parts, "; ") + ". " + s.abortable(sw)
}

func (s State) lacksPrimary(sw *Switchover, move StoreMove, store *Store) string {
	switch {
	case store.Restored:
		return "every member, since any may be the primary after the restore; silent are " +
			list(silentMembers(store.Members, sw.Reports[move.Store])) + " (bring their agents back, or make sure that they " +
			"are powered off, and say so in spec.oldPrimaries of another Disaster)"
	case sw.Mode == Planned:
		return "the old primary " + move.Primary + " (mend its driver or its agent; out of reach: abort, and declare a " +
			"Disaster)"
	case store.HoldsPermit:
		return "the old primary " + move.Primary + ", or the end of its permit"
	}
	return "the old primary " + move.Primary + " (it holds no permit: bring its agent back, or make sure that it " +
		"is powered " +
		"off, and say so in spec.oldPrimaries of another Disaster)"
}

func (s State) waitingCatchUp(sw *Switchover) string {
	var parts []string
	for _, move := range sw.Plan.Stores {
		order := s.Stores[move.Store].Order
		if report, ok := sw.Reports[move.Store][move.Target]; !ok || report.Position.Compare(order.Position) < 0 {
			parts = append(parts, fmt.Sprintf("%s of store %s to position %d/%d", move.Target, move.Store,
				order.Position.Epoch,
				order.Position.Index))
		}
	}
	return "It waits for the catching up of " + list(parts) + ". If nobody within reach has that, end it and " +
		"declare it again: " +
		"the position is read afresh. " + s.abortable(sw)
}

func (s State) waitingOpened(sw *Switchover) string {
	if who := s.silent(sw); who != "" {
		return "Writes are routed to the new owner; it waits until " + who + " reported that it is open: look at " +
			"its agent."
	}
	return "Writes are taken by the new owner; it waits until the data planes within reach have followed."
}

// silent are the members that have not obeyed the order in force.
func (s State) silent(sw *Switchover) string {
	var parts []string
	for _, move := range sw.Plan.Stores {
		if _, ok := sw.Reports[move.Store][move.Target]; !ok {
			parts = append(parts, fmt.Sprintf("%s of store %s", move.Target, move.Store))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return list(parts)
}

func (s State) abortable(sw *Switchover) string {
	if sw.NoReturn {
		return "It took over from what was past its commit, or was restored: there is no way back, only another " +
			"Disaster that supersedes it."
	}
	return "Abort gives everything back to the old owner."
}

func silentMembers(members []string, reports map[string]Report) []string {
	var silent []string
	for _, member := range members {
		if _, ok := reports[member]; !ok {
			silent = append(silent, member)
		}
	}
	return silent
}

func list(names []string) string { return strings.Join(names, ", ") }
