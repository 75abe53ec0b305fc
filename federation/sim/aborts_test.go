package sim

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/unitization/switchover"
)

// givesUp is the phase in which an operator changes their mind about a switchover, if they do: 0 is never. Past the commit
// there is no way back, and they try all the same.
func (p plant) givesUp(rnd *rand.Rand) switchover.Phase {
	phases := []switchover.Phase{
		switchover.PhasePlanned, switchover.PhaseApproved, switchover.PhaseFrozen, switchover.PhaseFencing,
		switchover.PhaseCatchingUp, switchover.PhaseCaughtUp, switchover.PhaseCommitted, switchover.PhaseOpened,
	}
	if does, at := rnd.IntN(3) == 0, rnd.IntN(len(phases)); does || p.aborts {
		return phases[at]
	}
	return 0
}

// reaches waits until a switchover is in a phase, or past it. It says whether the switchover has not ended yet.
func (e *estate) reaches(ctx context.Context, name, uid string, phase switchover.Phase) bool {
	for ctx.Err() == nil {
		var changed <-chan struct{} // nil while nobody leads
		if l := e.leader(); l != nil {
			var state switchover.State
			state, _, changed = l.core.Backend().State().Ownership()
			if sw := state.Switchovers[name]; sw != nil && sw.UID == uid && sw.Phase >= phase {
				return !sw.Phase.Ended()
			}
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-time.After(500 * time.Millisecond): // another one may lead
		}
	}
	return false
}

// abort has a switchover given up as soon as it is in a phase. It says whether it is.
func (e *estate) abort(ctx context.Context, operator author, name, uid string, phase switchover.Phase) bool {
	if !e.reaches(ctx, name, uid, phase) {
		return false
	}
	result, ok := e.decide(ctx, func(*life) *intentpb.Command {
		c := operator.command()
		c.Operation = &intentpb.Command_Abort{Abort: &intentpb.Abort{Switchover: name, Uid: uid, Reason: "the operator changed their mind"}}
		return c
	})
	if ok && !result.OK {
		e.oracle.count("switchovers: aborts refused")
	}
	return ok && result.OK
}

// turns is the oracle of switchovers. It sees the ownership after every command.
type turns struct {
	seen map[string]*switchover.Switchover // by UID: as it was after the command before
	from map[string]owners                 // by UID: who had what it moves when it was approved
	lost []string                          // committed ones that were rolled back: judged after what it did to writes
}

// owners are those of what a switchover moves.
type owners struct {
	ranges []switchover.Range // one for each move
	stores map[string]switchover.Store
}

// owning is a state machine that knows who owns what.
type owning interface {
	Ownership() (switchover.State, uint64, <-chan struct{})
}

// begin forgets what was: a restored state is older.
func (t *turns) begin() { t.seen, t.from = map[string]*switchover.Switchover{}, map[string]owners{} }

// turned judges what a command made of switchovers. Holders of the oracle's mu call it, once for each index.
func (o *oracle) turned(state switchover.State, command *intentpb.Command) {
	t := &o.turns
	for name, sw := range state.Switchovers {
		was := t.seen[sw.UID]
		if was == sw {
			continue
		}
		t.seen[sw.UID] = sw
		if was == nil {
			continue
		}
		switch {
		case was.Phase == sw.Phase:
		case was.Phase.Ended():
			o.violates("switchover %s is %s after it was %s", name, sw.Phase, was.Phase)
		case sw.Phase == switchover.PhaseApproved:
			t.from[sw.UID] = ownersOf(state, sw.Plan)
		case sw.Phase == switchover.PhaseAborted:
			o.counts["switchovers: aborted when "+was.Phase.String()]++
			if was.Commit != 0 {
				t.lost = append(t.lost, name)
				continue
			}
			o.returned(state, sw, t.from[sw.UID])
		}
	}
	if abort := command.GetAbort(); abort != nil {
		sw := state.Switchovers[abort.GetSwitchover()]
		if sw != nil && sw.UID == abort.GetUid() && !sw.Phase.Ended() && sw.Commit == 0 && !sw.NoReturn {
			o.violates("the abort of switchover %s is refused in phase %s", sw.Name, sw.Phase)
		}
	}
}

// ownersOf are the owners of what a plan moves.
func ownersOf(state switchover.State, plan switchover.Plan) (o owners) {
	for _, m := range plan.Moves {
		r, _ := state.MapAt(m.Unitization, m.From)
		o.ranges = append(o.ranges, r)
	}
	o.stores = map[string]switchover.Store{}
	for _, s := range plan.Stores {
		o.stores[s.Store] = *state.Stores[s.Store]
	}
	return o
}

// returned sees that an aborted switchover has given everything back: to whom it was when it was approved, open, without a
// lock, and under an epoch above that of its freeze.
func (o *oracle) returned(state switchover.State, sw *switchover.Switchover, from owners) {
	for i, was := range from.ranges {
		move := sw.Plan.Moves[i]
		for _, shard := range []int{move.From, move.To} {
			is, _ := state.MapAt(move.Unitization, shard)
			if is.Unit != was.Unit || !slices.Equal(is.Cells, was.Cells) || is.Frozen != was.Frozen || len(is.Left) > 0 || is.Lock != "" ||
				sw.Freeze != 0 && is.Since <= sw.Freeze {
				o.violates("shard %d is %+v after switchover %s of freeze %d was aborted; it was %+v", shard, is, sw.Name, sw.Freeze, was)
			}
		}
	}
	for name, was := range from.stores {
		if is := state.Stores[name]; is.Primary != was.Primary || is.Accepting != was.Accepting || is.Lock != "" {
			o.violates("store %s is %+v after switchover %s was aborted; it was %+v", name, *is, sw.Name, was)
		}
	}
}

// judge says which switchovers were rolled back though they had been committed.
func (t *turns) judge(o *oracle) {
	for _, name := range t.lost {
		o.violated("switchover %s was committed, and is aborted", name)
	}
}
