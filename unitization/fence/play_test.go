package fence

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
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
