package switchover

import "fmt"

// takeOver ends the reconciliation of what a switchover decides that a person has approved. Nobody knows an owner to go
// back to.
func (d *draft) takeOver(sw *Switchover) {
	if d.Restored == nil {
		return
	}
	takes := false
	for _, move := range sw.Plan.Moves {
		for _, r := range d.Maps[move.Unitization].Ranges {
			takes = takes || r.restored() && r.To >= move.From && r.From <= move.To
		}
	}
	for _, move := range sw.Plan.Stores {
		if r := d.recovery(move.Store); r != nil {
			takes = takes || r.Phase < PhaseOpened
			d.forget(move.Store)
		}
	}
	if takes && !d.broken.has(brokenTakeOverAborted) {
		d.editSwitchover(sw.Name).NoReturn = true
	}
}

// checkRestored: what was restored and is not reconciled yet is moved by a Disaster, when the permits of before have
// ended: the sessions that held them are not in the log, so nobody would wait for them.
func (d *draft) checkRestored(sw *Switchover) []Problem {
	if d.Restored == nil {
		return nil
	}
	var what []Problem
	for _, move := range sw.Plan.Moves {
		m := d.Maps[move.Unitization]
		if m == nil {
			continue
		}
		for _, r := range m.Ranges {
			if r.restored() && r.To >= move.From && r.From <= move.To {
				what = append(what, d.notYet(sw, move.Unit, fmt.Sprintf("shards %s of %s",
					span(max(r.From, move.From), min(r.To, move.To)), move.Unitization))...)
			}
		}
	}
	for _, move := range sw.Plan.Stores {
		if r := d.recovery(move.Store); r != nil && r.Phase < PhaseOpened {
			what = append(what, d.notYet(sw, move.Store, "store "+move.Store)...)
		}
	}
	return what
}

func (d *draft) notYet(sw *Switchover, value, what string) []Problem {
	switch {
	case !d.Restored.Waited:
		return problem("spec", value, "%s: the estate was restored from an older state, and permits of before may "+
			"still hold: wait a moment", what)
	case sw.Mode != Disaster:
		return problem("spec.mode", sw.Mode, "%s: the estate was restored from an older state, and it is not known who "+
			"took writes last: only a Disaster can say so", what)
	}
	return nil
}
