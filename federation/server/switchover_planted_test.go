package server

import (
	"context"
	"testing"
	"time"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/switchover"
)

// whenFrozen proposes something as patient as a switchover is frozen, as a server with a bug would: the state machine
// cannot know better.
func (u *units) whenFrozen(name string, command func(*switchover.Switchover) *intentpb.Command) {
	u.t.Helper()
	u.runs("the planted bug", func(ctx context.Context) error {
		for ; u.phase(name) < switchover.PhaseFrozen; time.Sleep(time.Millisecond) {
			if ctx.Err() != nil {
				return nil
			}
		}
		leader := u.servers[u.leader()]
		return authority{leader.backend}.decide(ctx, command(u.state().Switchovers[name]))
	})
}

// found sees that what was planted is found while it goes on.
func found(t *testing.T, look func() error) {
	t.Helper()
	var err error
	eventually(t, "trace of the planted bug", patient, func() bool { err = look(); return err != nil })
	t.Log(err)
}

func TestPlantedALeaderThatDoesNotWaitIsFound(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 1, unitsOptions{ledgers: true, times: int(permit.Longest / shortestPermit)}) // the takeover comes before its end
	w := u.write()
	w.flows(0, "rz01.hz-a")
	u.isolate("hz-a", true)
	u.whenFrozen("rescue", func(o *switchover.Switchover) *intentpb.Command {
		_, _, term := u.servers[0].node.Leader()
		return &intentpb.Command{Operation: &intentpb.Command_WaitedOut{WaitedOut: &intentpb.WaitedOut{
			Switchover: o.Name, Uid: o.UID, Freeze: o.Freeze, Term: term,
		}}}
	})
	u.begin("rescue", evacuate(v1alpha1.SwitchoverDisaster, "hz-a"))
	w.flows(0, "rz01.sh-a")
	found(t, func() error { return apart(w.all(), false) }) // the old side goes on
}

func TestPlantedAcknowledgementsOfWhatIsNotClosedAreFound(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 1, unitsOptions{times: frozenLong})
	w := u.write()
	w.flows(0, "rz01.hz-a")
	slow := w.open("hz-a", 0)
	u.whenFrozen("out", func(o *switchover.Switchover) *intentpb.Command {
		acks := &intentpb.AckFreeze{}
		for id := range u.sessionsOf("hz-a") {
			acks.Acks = append(acks.Acks, &intentpb.FreezeAck{Session: id, Freeze: o.Freeze})
		}
		return &intentpb.Command{Operation: &intentpb.Command_AckFreeze{AckFreeze: acks}}
	})
	u.begin("out", evacuate(v1alpha1.SwitchoverPlanned, "hz-a"))
	w.flows(0, "rz01.sh-a")
	slow()
	found(t, func() error { return apart(w.all(), true) })
}

func TestPlantedARelayThatHandsOnMoreThanItHoldsIsFound(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 1, unitsOptions{ledgers: true})
	w := u.write()
	u.sites["hz-a"].relay.stretch.Store(int64((permit.Longest - time.Second) / u.permit)) // a longer one is no permit
	w.flows(0, "rz01.hz-a")
	time.Sleep(u.permit) // every permit below is stretched
	w.flows(0, "rz01.hz-a")
	u.isolate("hz-a", true)
	u.begin("rescue", evacuate(v1alpha1.SwitchoverDisaster, "hz-a"))
	w.flows(0, "rz01.sh-a")
	found(t, func() error { return apart(w.all(), false) }) // the old side goes on
}

func TestPlantedAStoreThatClosesInWordsOnlyIsFound(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 1, unitsOptions{})
	hz := u.members["hz-a"]
	hz.mu.Lock()
	hz.forgets = true
	hz.mu.Unlock()
	u.begin("out", evacuate(v1alpha1.SwitchoverPlanned, "hz-a"))
	u.reaches("out", switchover.PhaseDone, patient)
	found(t, func() error { return oneOpen(u.members) })
}
