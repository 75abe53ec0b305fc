package fence

import (
	"errors"
	"testing"
)

func TestOnlyTheOrderInForceIsObeyedAndReported(t *testing.T) {
	for seed := range uint64(300) {
		if err := newPlay(seed, breakage{}).run(2000); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func TestPlantedBugsAreFound(t *testing.T) {
	for name, broken := range map[string]breakage{
		"a late answer of an older order counts":   {lateCounts: true},
		"any answer counts as obedience":           {trusts: true},
		"a call is not bounded":                    {waitsForEver: true},
		"a new order waits for the call under way": {finishesFirst: true},
	} {
		found := error(nil)
		for seed := uint64(0); seed < 300 && found == nil; seed++ {
			found = newPlay(seed, broken).run(2000)
		}
		if found == nil {
			t.Errorf("%s: not found", name)
		}
		t.Logf("%-45s %v", name, found)
	}
}

func TestARestartedAgentAsksFirstAndReportsWithoutActing(t *testing.T) {
	r := NewRunner(RunnerConfig{Store: "s", Member: "hz"})
	order := &Order{Store: "s", Action: Fence, Token: 7, UID: "u", Step: 1}
	r.Ordered(order, 0)
	do := r.Next(0)
	if do.Call == nil || do.Call.Action != Status {
		t.Fatalf("the first call is %+v, want Status", do.Call)
	}
	r.Answered(do.Call.ID, State{Token: 7, Position: Position{Epoch: 3, Index: 9}}, nil, 1)
	want := Report{
		Store: "s", Member: "hz", Action: Fence, UID: "u", Step: 1, Token: 7, Position: Position{Epoch: 3, Index: 9},
	}
	if got := r.Report(); got != want {
		t.Errorf("report %+v, want %+v", got, want)
	}
	if do := r.Next(2); do.Call != nil {
		t.Errorf("%s is called although the order is obeyed", do.Call.Action)
	}
}

func TestAMemberThatForgotIsAskedAgain(t *testing.T) {
	r := NewRunner(RunnerConfig{Store: "s", Member: "hz", Recheck: 10})
	r.Ordered(&Order{Store: "s", Action: Open, Member: "hz", Token: 7, UID: "u", Step: 4}, 0)
	open, closed := State{Token: 7, Open: true, Primary: true}, State{Token: 7}
	r.Answered(r.Next(0).Call.ID, open, nil, 0)
	r.Answered(r.Next(10).Call.ID, closed, nil, 10) // it has restarted
	if do := r.Next(10); do.Call == nil || do.Call.Action != Open {
		t.Fatalf("next is %+v, want Open", do.Call)
	}
}

func TestWhatFitsAnOrder(t *testing.T) {
	at := func(i uint64) Position { return Position{Epoch: 2, Index: i} }
	for _, c := range []struct {
		action Action
		state  State
		want   error
	}{
		{Fence, State{Token: 5}, nil},
		{Fence, State{Token: 5, Open: true}, ErrGarbage},
		{Fence, State{Token: 4}, ErrGarbage},
		{Fence, State{Token: 6}, ErrLowerToken},
		{CatchUp, State{Token: 5, Position: at(9)}, nil},
		{CatchUp, State{Token: 5, Position: Position{Epoch: 3}}, nil},
		{CatchUp, State{Token: 5, Position: at(8)}, ErrGarbage},
		{Promote, State{Token: 5, Primary: true}, nil},
		{Promote, State{Token: 5}, ErrGarbage},
		{Promote, State{Token: 5, Primary: true, Open: true}, ErrGarbage},
		{Open, State{Token: 5, Primary: true, Open: true}, nil},
		{Open, State{Token: 5, Primary: true}, ErrGarbage},
		{Unfence, State{Token: 5, Open: true}, ErrGarbage},
		{Unfence, State{Token: 5, Primary: true, Open: true}, nil},
	} {
		if err := (Order{Action: c.action, Token: 5, Position: at(9)}).Obeyed(c.state); !errors.Is(err, c.want) {
			t.Errorf("%s, %+v: %v, want %v", c.action, c.state, err, c.want)
		}
	}
}

// What a member was before it obeyed a fence is in the report of that: who has lost the state must find the last primary.
func TestAFencesReportSaysWhatWasBefore(t *testing.T) {
	fence := &Order{Store: "s", Action: Fence, Token: 9, UID: "restored", Step: 1}
	opened := State{Token: 4, Open: true, Primary: true, Position: Position{Epoch: 4, Index: 2}}
	closed := State{Token: 9, Position: Position{Epoch: 4, Index: 3}}
	for name, c := range map[string]struct {
		before  *Order // in force while the member was open
		primary bool
		token   uint64
	}{
		"no order was in force":  {nil, true, 4},
		"it had been opened":     {&Order{Store: "s", Action: Open, Member: "hz", Token: 4, UID: "u", Step: 5}, true, 4},
		"the agent did not know": {fence, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewRunner(RunnerConfig{Store: "s", Member: "hz", Recheck: 10})
			r.Ordered(c.before, 0)
			if c.before != fence {
				r.Answered(r.Next(0).Call.ID, opened, nil, 0)
				r.Ordered(fence, 1)
			}
			call := r.Next(20).Call
			if c.before != fence && call.Action != Fence {
				t.Fatalf("next is %s", call.Action)
			}
			r.Answered(call.ID, closed, nil, 20)
			if got := r.Report(); got.Action != Fence || got.Primary != c.primary || got.Before != c.token || got.Position != closed.Position {
				t.Errorf("%+v", got)
			}
			r.Answered(r.Next(40).Call.ID, closed, nil, 40) // asked again: the report stays
			if got := r.Report(); got.Primary != c.primary || got.Before != c.token {
				t.Errorf("later %+v", got)
			}
		})
	}
}
