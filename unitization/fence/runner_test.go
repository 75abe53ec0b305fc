package fence

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// play is a runner, a member that obeys when it is reached, and everything that may go wrong between them.
type play struct {
	rand   *rand.Rand
	runner *Runner
	now    time.Duration
	wait   time.Duration

	order  *Order
	member State
	done   map[int]bool // orders that the member obeyed, by step
	under  []*underWay
	counts int // calls under way that were not cancelled
	// spoiled says that a call for the order in force has failed.
	spoiled bool
}

type underWay struct {
	call      *Attempt
	order     *Order
	began     time.Duration
	ends      time.Duration // when the answer comes; for ever: never
	cancelled bool
	garbage   bool
}

const never = time.Duration(1 << 62)

func newPlay(seed uint64, broken breakage) *play {
	p := &play{rand: rand.New(rand.NewPCG(seed, 1)), done: map[int]bool{}}
	p.runner = NewRunner(RunnerConfig{Store: "s", Member: "hz", Timeout: 20, Pause: 2, Longest: 10, Recheck: 30})
	p.runner.broken = broken
	return p
}

func (p *play) run(steps int) error {
	token := uint64(1)
	for step := range steps {
		p.now++
		if p.rand.IntN(40) == 0 {
			token += uint64(p.rand.IntN(2) + 1)
			o := &Order{
				Store: "s", Action: Action(p.rand.IntN(5) + 1), Token: token, UID: "u", Step: step + 1,
				Position: Position{Epoch: 1, Index: uint64(p.rand.IntN(5))},
			}
			if p.rand.IntN(4) == 0 {
				o.Member = "elsewhere"
			}
			p.order, p.spoiled, p.wait = o, false, 0
			p.runner.Ordered(o, p.now)
		}
		if err := errors.Join(p.answers(), p.next(), p.says()); err != nil {
			return fmt.Errorf("at %d: %w", p.now, err)
		}
	}
	return p.ends()
}

// next asks the runner, when it wants to be asked.
func (p *play) next() error {
	if p.wait--; p.wait > 0 {
		return nil
	}
	do := p.runner.Next(p.now)
	p.wait = do.Wait
	if do.Cancel {
		for _, u := range p.under {
			u.cancelled = true
		}
		p.counts = 0
	}
	for _, u := range p.under {
		if !u.cancelled && p.order != nil && p.order.For("hz") && u.order != p.order {
			return fmt.Errorf("%s of an older order goes on while step %d is in force", u.call.Action, p.order.Step)
		}
	}
	if do.Call == nil {
		return nil
	}
	if p.counts++; p.counts > 1 {
		return errors.New("a call is begun while another is under way")
	}
	if p.order != nil && p.order.For("hz") && do.Call.Request.Step != p.order.Step {
		return fmt.Errorf("a call for step %d while step %d is in force", do.Call.Request.Step, p.order.Step)
	}
	u := &underWay{call: do.Call, order: p.order, began: p.now, ends: p.now + time.Duration(p.rand.IntN(15))}
	switch p.rand.IntN(8) {
	case 0:
		u.ends = never
	case 1:
		u.ends = p.now + time.Duration(p.rand.IntN(80)) // late
	case 2:
		u.garbage = true
	}
	p.under = append(p.under, u)
	return nil
}

// answers has calls that are due reach the member, cancelled ones, too: nobody can call a request back.
func (p *play) answers() error {
	var left []*underWay
	for _, u := range p.under {
		switch {
		case u.ends > p.now && !u.cancelled && p.now-u.began > 25:
			return fmt.Errorf("%s is neither answered nor given up after %d", u.call.Action, p.now-u.began)
		case u.ends > p.now:
			left = append(left, u)
			continue
		}
		if !u.cancelled {
			p.counts = 0
		}
		p.wait = 0
		state, err := p.obey(u)
		if err != nil && u.order == p.order && !u.cancelled {
			p.spoiled = true
		}
		p.runner.Answered(u.call.ID, state, err, p.now)
	}
	p.under = left
	return nil
}

// obey is an honest member: it says what it is like after the call. Garbage is what a proxy says, without asking it.
func (p *play) obey(u *underWay) (State, error) {
	r := u.call.Request
	if u.garbage {
		if u.order != nil && u.order.For("hz") && u.call.Action != Status {
			p.spoiled = p.spoiled || u.order == p.order
		}
		return State{Token: r.Token, Position: Position{Epoch: 99}, Open: p.rand.IntN(2) == 0}, nil
	}
	if u.call.Action == Status {
		return p.member, nil
	}
	if r.Token < p.member.Token {
		return State{}, ErrLowerToken
	}
	p.member.Token = r.Token
	p.member.Open = u.call.Action == Open || u.call.Action == Unfence
	p.member.Primary = p.member.Open || u.call.Action == Promote
	if u.call.Action == CatchUp && p.member.Position.Compare(r.Position) < 0 {
		p.member.Position = r.Position
	}
	p.done[r.Step] = true
	return p.member, nil
}

// says holds the report against the truth. Garbage that looks like obedience is not to be told from it.
func (p *play) says() error {
	r := p.runner.Report()
	if r.Action != Status && r.Step != 0 && !p.done[r.Step] && r.Position.Epoch != 99 {
		return fmt.Errorf("%s, step %d, is reported and was never obeyed", r.Action, r.Step)
	}
	if r.Action == CatchUp && r.Position.Epoch == 99 {
		return nil
	}
	if r.Error != "" && !p.spoiled && strings.Contains(r.Error, "makes no sense") {
		return fmt.Errorf("an error of another order is reported: %s", r.Error)
	}
	if p.order != nil && r.Step == p.order.Step && r.Position.Epoch != 99 &&
		p.order.Obeyed(State{Token: r.Token, Position: r.Position, Open: p.member.Open, Primary: p.member.Primary}) != nil &&
		p.member.Token == p.order.Token {
		return fmt.Errorf("%s, step %d, is reported with token %d", r.Action, r.Step, r.Token)
	}
	return nil
}

// ends sees that the last order is obeyed once nothing goes wrong any more.
func (p *play) ends() error {
	o := &Order{Store: "s", Action: Open, Token: 1 << 40, UID: "u", Step: 1 << 30}
	p.runner.Ordered(o, p.now)
	for range 100 {
		p.now++
		do := p.runner.Next(p.now)
		if do.Call != nil {
			state, err := p.obey(&underWay{call: do.Call, order: o})
			p.runner.Answered(do.Call.ID, state, err, p.now)
		}
		if r := p.runner.Report(); r.Step == o.Step && r.Error == "" {
			return nil
		}
	}
	return fmt.Errorf("the last order is not obeyed: %+v", p.runner.Report())
}

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
