package controller

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/unitization/switchover"
)

const (
	// defaultPermit is T where no Unitization says another.
	defaultPermit = 5 * time.Second
	// reachable is how long ago a relay may have asked to count as within reach.
	reachable = 3 * time.Second
	// preparesIn bounds how long a freeze, or a disaster's commit, waits for relays within reach to learn of the target's cells: a relay that is slow
	// must not hold up a switchover, the guards decide in any case.
	preparesIn = 2 * time.Second
	// settlesIn, and then the end of permits, bounds how long a planned freeze waits until nobody is in doubt.
	settlesIn = reachable + time.Second
	// convergesIn bounds how long an opened switchover waits for relays before it ends with a remark.
	convergesIn = 10 * time.Second
	// silentFor is how long a session may not be heard of before it is closed. Its holder opens another one when it is back.
	silentFor = 30 * time.Second
)

// heard is what the leader knows beside the state. It is telemetry: nothing unsafe may follow from it.
type heard struct {
	// sessions are what all servers within reach say of sessions; nil when nobody was asked yet.
	sessions map[string]progress
	// asked is when the servers were asked for that.
	asked time.Time
	// reports are what agents say, of orders that may be past.
	reports []report
	// deadlines are when switchovers roll back by themselves.
	deadlines map[string]time.Time
	// wall is the time of day, for deadlines; everything else is counted on the monotonic clock.
	wall time.Time
	// term is the leader's.
	term uint64
}

// progress is what a session said last.
type progress struct {
	age      time.Duration
	rendered uint64
}

// report is a StoreReport, and the cluster whose agent wrote it.
type report struct {
	store, member, uid string
	cluster            string
	switchover.Report
}

// proposal is a command that the leader wants, and why, for its log.
type proposal struct {
	command *intentpb.Command
	why     string
	// switchover is what it is about; empty: sessions.
	switchover string
}

// next says what the leader is to propose now, and when it must look again if nothing happens before; zero: never.
func next(s switchover.State, m *memory, h heard, now time.Time) (proposals []proposal, again time.Time) {
	m.hear(h)
	n := &round{state: s, memory: m, heard: h, now: now}
	for _, name := range slices.Sorted(maps.Keys(s.Switchovers)) {
		n.carry(s.Switchovers[name])
	}
	n.reconcile()
	n.report()
	n.sessions()
	return n.proposals, n.again
}

// round is one call of next.
type round struct {
	state  switchover.State
	memory *memory
	heard  heard
	now    time.Time

	proposals []proposal
	again     time.Time
}

// at has the round taken again at a time. It says whether that is now or past.
func (n *round) at(t time.Time) bool {
	if !t.After(n.now) {
		return true
	}
	if n.again.IsZero() || t.Before(n.again) {
		n.again = t
	}
	return false
}

func (n *round) propose(o *switchover.Switchover, why string, c *intentpb.Command) {
	p := proposal{command: c, why: why}
	if o != nil {
		p.switchover = o.Name
	}
	n.proposals = append(n.proposals, p)
}

// carry takes one switchover further.
func (n *round) carry(o *switchover.Switchover) {
	if n.expired(o) {
		return
	}
	seen := n.memory.phases[phaseKey{o.UID, o.Phase}]
	switch o.Phase {
	case switchover.PhaseApproved:
		n.freeze(o, seen)
	case switchover.PhaseFrozen, switchover.PhaseFencing:
		n.waitOut(o) // the end of the old store's permit is evidence of its fence, too
	case switchover.PhaseCaughtUp:
		n.commit(o, seen)
	case switchover.PhaseOpened:
		n.converge(o, seen)
	}
}

// expired aborts a switchover whose deadline has passed before its commit.
func (n *round) expired(o *switchover.Switchover) bool {
	deadline, ok := n.heard.deadlines[o.Name]
	begun := o.Phase > switchover.PhasePlanned && o.Phase < switchover.PhaseCommitted && !o.NoReturn
	if !ok || !begun {
		return false
	}
	if left := deadline.Sub(n.heard.wall); left > 0 {
		n.at(n.now.Add(left))
		return false
	}
	n.propose(o, "its deadline has passed", &intentpb.Command{Operation: &intentpb.Command_Abort{Abort: &intentpb.Abort{
		Switchover: o.Name, Uid: o.UID,
		Reason: "its deadline " + deadline.UTC().Format(time.RFC3339) + " passed in phase " + o.Phase.String(),
	}}})
	return true
}

// freeze begins what is planned once the relays within reach have what they need to send traffic to the target's cells, and
// once nothing is known that would keep it frozen for long. A disaster freezes at once: its wait begins there, and who may be
// dead is not waited for. Its relays are prepared before its commit (rule 19).
func (n *round) freeze(o *switchover.Switchover, seen sighting) {
	why := "permits begin to end"
	if o.Mode != switchover.Disaster {
		behind := n.behind(seen, everywhere)
		if len(behind) > 0 && !n.at(seen.at.Add(preparesIn)) {
			return
		}
		if !n.settled(o, seen) && !n.at(n.memory.waitedOut(seen.at.Add(settlesIn))) {
			return
		}
		why = "relays are prepared" + except(behind)
	}
	n.propose(o, why, &intentpb.Command{Operation: &intentpb.Command_Freeze{
		Freeze: &intentpb.Freeze{Switchover: o.Name, Uid: o.UID},
	}})
}

// commit decides the new owner. In a disaster that waits for the relays elsewhere: those of the centers that are left may
// have died a moment ago.
func (n *round) commit(o *switchover.Switchover, seen sighting) {
	why := "everything is caught up"
	if o.Mode == switchover.Disaster {
		if approved, ok := n.memory.phases[phaseKey{o.UID, switchover.PhaseApproved}]; ok {
			seen = approved // the relays have had since then
		}
		behind := n.behind(seen, func(center string) bool { return !leaves(o, center) })
		if len(behind) > 0 && !n.at(seen.at.Add(preparesIn)) {
			return
		}
		why += ", and relays are prepared" + except(behind)
	}
	n.propose(o, why, &intentpb.Command{Operation: &intentpb.Command_Commit{
		Commit: &intentpb.Commit{Switchover: o.Name, Uid: o.UID},
	}})
}

func everywhere(string) bool { return true }

// behind are the relays within reach, in some centers, that do not serve the intent revision of a sighting yet; all that
// are known when nobody was heard since then.
func (n *round) behind(seen sighting, in func(center string) bool) (names []string) {
	unheard := n.heard.sessions == nil || n.heard.asked.Before(seen.at)
	for id, session := range n.state.Sessions {
		if session.Holder != switchover.Relay || session.Closed || !in(session.Center) {
			continue
		}
		p, ok := n.heard.sessions[id]
		if unheard || ok && p.age < reachable && p.rendered < seen.revision {
			names = append(names, session.Name)
		}
	}
	slices.Sort(names)
	return names
}

// settled says whether every relay that a switchover will wait for can acknowledge a freeze at once. One that has just
// started cannot before T has passed (rule 6), and one that is gone never does: its session is closed first, and removed
// when its permits have ended. Both cost less before the freeze than after it.
func (n *round) settled(o *switchover.Switchover, seen sighting) bool {
	settled := true
	for _, id := range Awaited(n.state, o) {
		old := n.at(n.memory.waitedOut(n.memory.first[id]))
		heard := n.memory.last[id].After(seen.at) && n.unheardFor(id) < reachable
		if n.state.Sessions[id].Closed || !old || !heard {
			settled = false
		}
	}
	return settled
}

// Awaited are the sessions that must acknowledge a switchover's freeze when it comes, sorted.
func Awaited(s switchover.State, o *switchover.Switchover) (ids []string) {
	for id, session := range s.Sessions {
		if session.Holder == switchover.Relay && leaves(o, session.Center) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// leaves says whether a switchover leaves a center.
func leaves(o *switchover.Switchover, center string) bool {
	return slices.ContainsFunc(o.Plan.Moves, func(m switchover.Move) bool {
		return slices.ContainsFunc(m.Cells, func(cell string) bool { return switchover.CellCenter(cell) == center })
	})
}

// waitOut says once that every permit of before the freeze has ended. Only a disaster goes on without acknowledgements; of
// what is planned, the sessions that are gone are closed and removed.
func (n *round) waitOut(o *switchover.Switchover) {
	if o.WaitedOut || o.Mode != switchover.Disaster {
		return
	}
	frozen, ok := n.memory.phases[phaseKey{o.UID, switchover.PhaseFrozen}]
	if !ok { // the phase was past when this term began: its own begin is what counts
		frozen = n.memory.phases[phaseKey{o.UID, o.Phase}]
	}
	if !n.at(n.memory.waitedOut(frozen.at)) {
		return
	}
	n.propose(o, "the permits of before the freeze have ended", &intentpb.Command{Operation: &intentpb.Command_WaitedOut{
		WaitedOut: &intentpb.WaitedOut{Switchover: o.Name, Uid: o.UID, Freeze: o.Freeze, Term: n.heard.term},
	}})
}

// converge ends a switchover when its stores are open, and the data planes have followed or did not for too long. It does
// not end without its stores: their locks hold off whatever else would move them.
func (n *round) converge(o *switchover.Switchover, seen sighting) {
	if len(n.closed(o)) > 0 {
		return
	}
	behind := n.behind(seen, everywhere)
	if len(behind) > 0 && !n.at(seen.at.Add(convergesIn)) {
		return
	}
	message := ""
	if len(behind) > 0 {
		message = "ended without " + strings.Join(behind, ", ")
	}
	n.propose(o, "the data planes have followed"+except(behind), &intentpb.Command{Operation: &intentpb.Command_Converged{
		Converged: &intentpb.Converged{Switchover: o.Name, Uid: o.UID, Message: message},
	}})
}

// closed are the stores of a switchover whose new primary has not reported that it is open.
func (n *round) closed(o *switchover.Switchover) (names []string) {
	for _, move := range o.Plan.Stores {
		store := n.state.Stores[move.Store]
		if store == nil || store.Order == nil || store.Order.UID != o.UID || store.Order.Action != switchover.Open {
			continue
		}
		if r, ok := o.Reports[move.Store][store.Order.Member]; !ok || r.Step != store.Order.Step {
			names = append(names, move.Store)
		}
	}
	return names
}

func except(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf(", except %s", strings.Join(names, ", "))
}
