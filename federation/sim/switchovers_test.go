package sim

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/unitization/switchover"
)

// operate is a person who moves unit rz01 from center to center, one switchover after the other.
func (e *estate) operate(ctx context.Context) {
	rnd := rand.New(rand.NewPCG(e.seed, 8))
	doubts := rand.New(rand.NewPCG(e.seed, 12))
	operator := author{rnd, e.skew}
	for n := 0; ctx.Err() == nil; n++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(e.plant.rests(20*time.Second + time.Duration(rnd.Int64N(int64(40*time.Second))))):
		}
		if e.settling() {
			return
		}
		mode := v1alpha1.SwitchoverPlanned
		if rnd.IntN(2) == 0 {
			mode = v1alpha1.SwitchoverDisaster
		}
		mode = cmp.Or(e.plant.haste, mode)
		to, name := clusters[rnd.IntN(len(clusters))], fmt.Sprint("move-", n)
		if e.move(ctx, operator, name, mode, "rz01", to, e.plant.givesUp(doubts)) == v1alpha1.PhaseAborted && doubts.IntN(2) == 0 {
			e.move(ctx, operator, name+"-again", mode, "rz01", to, 0)
		}
	}
}

// move makes one switchover, gives it up in some phase if one is named, and waits for its end for a while. It says in which
// phase it ended; "" is none that is known.
func (e *estate) move(ctx context.Context, operator author, name string, mode v1alpha1.SwitchoverMode, unit, to string,
	givesUp switchover.Phase) (end v1alpha1.SwitchoverPhase) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	move := v1alpha1.Move{Unitization: "users", Unit: unit, ToCenters: []string{to}}
	if unit == "rz01" {
		move.ToPrimary = to // the other has no store
	}
	s := &v1alpha1.Switchover{Spec: v1alpha1.SwitchoverSpec{Mode: mode, Moves: []v1alpha1.Move{move}}}
	s.Name = name
	result, ok := e.decide(ctx, func(l *life) *intentpb.Command {
		return operator.create(s, l.core.Backend().State().View().Lookup())
	})
	if !ok || !result.OK || result.Current == nil {
		e.oracle.count("switchovers refused")
		return ""
	}
	e.check(json.Unmarshal(result.Current.Value, s))
	if givesUp == switchover.PhasePlanned && e.abort(ctx, operator, name, string(s.UID), givesUp) {
		return v1alpha1.PhaseAborted
	}
	result, ok = e.decide(ctx, func(*life) *intentpb.Command {
		c := operator.command()
		c.Operation = &intentpb.Command_Approve{Approve: &intentpb.Approve{
			Switchover: name, Uid: string(s.UID), PlanHash: s.Status.PlanHash, Approver: "ops",
		}}
		return c
	})
	if !ok || !result.OK {
		e.oracle.count("switchovers not approved")
		return ""
	}
	e.oracle.count("switchovers begun, " + string(mode))
	if givesUp != 0 {
		e.abort(ctx, operator, name, string(s.UID), givesUp)
	}
	ended := func() bool {
		l := e.leader()
		if l == nil {
			return false
		}
		stored, ok := l.core.Backend().State().View().Get(v1alpha1.KindSwitchover, name)
		var now v1alpha1.Switchover
		if !ok || json.Unmarshal(stored.Value, &now) != nil {
			return false
		}
		switch end = now.Status.Phase; end {
		case v1alpha1.PhaseDone, v1alpha1.PhaseAborted:
			e.oracle.count("switchovers " + strings.ToLower(string(now.Status.Phase)))
			return true
		}
		end = ""
		return false
	}
	if !await(ctx, time.Second, ended) {
		e.oracle.count("switchovers not ended in two minutes")
	}
	return end
}

// decide proposes through whichever server leads.
func (e *estate) decide(ctx context.Context, command func(*life) *intentpb.Command) (result intent.Result, ok bool) {
	var made *intentpb.Command
	ok = await(ctx, 200*time.Millisecond, func() bool {
		l := e.leader()
		if l == nil {
			return false
		}
		if made == nil {
			made = command(l)
		}
		var err error
		result, err = l.core.Backend().Propose(ctx, made)
		return err == nil
	})
	return result, ok
}
