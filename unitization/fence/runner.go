package fence

import (
	"errors"
	"fmt"
	"time"
)

// RunnerConfig is what a Runner needs. Times are durations on the caller's monotonic clock.
type RunnerConfig struct {
	Store, Member string
	// Timeout bounds a call.
	Timeout time.Duration
	// Pause is how long it waits before a failed call is made again; doubled each time, up to Longest.
	Pause, Longest time.Duration
	// Recheck is how often the member is asked what it is like while there is nothing to do.
	Recheck time.Duration
}

// Defaults of a RunnerConfig's zero fields.
const (
	DefaultTimeout = 2 * time.Second
	defaultPause   = 50 * time.Millisecond
	defaultLongest = time.Second
	defaultRecheck = 2 * time.Second
)

// breakage breaks rules on purpose. Only tests set it.
type breakage struct {
	// lateCounts takes the answer of a call made for an older order as one to the order in force.
	lateCounts bool
	// trusts takes any answer for obedience.
	trusts bool
	// waitsForEver does not bound a call.
	waitsForEver bool
	// finishesFirst lets a running call end before a new order is obeyed.
	finishesFirst bool
}

// Runner is the pure core of what obeys the orders of one store at one member. Whoever holds it calls Ordered when the
// order in force changes, Next whenever something happened or its Wait has passed, and Answered with the outcome of
// each call. It has no lock.
type Runner struct {
	cfg    RunnerConfig
	broken breakage

	// order is the one in force, nil: none, or none for this member.
	order *Order
	// obeyed is the last order that the member obeys, or obeyed.
	obeyed *Order
	// asked says that the member's state was asked for since the start, with or without an answer.
	asked bool
	// holds says that the member obeys the order in force as far as is known.
	holds bool
	// told is the state that the report gives.
	told State
	err  error
	// last is what the member said of itself last; before is that from before the order in force, was from before the
	// last one that was obeyed. Zero: not known.
	last, before, was State

	running  *Attempt
	began    time.Duration
	next     time.Duration
	failures int
	ids      uint64
}

// Attempt is a call to be made.
type Attempt struct {
	// ID comes back with Answered.
	ID      uint64
	Action  Action
	Request Request
	// Timeout bounds the call.
	Timeout time.Duration
	order   *Order
}

// Do is what to do next.
type Do struct {
	// Cancel ends the call under way: nobody waits for its answer.
	Cancel bool
	// Call is to be begun, after Cancel; nil: none.
	Call *Attempt
	// Wait is when to call Next again at the latest, if nothing happens before.
	Wait time.Duration
}

// Report is what to say of the member.
type Report struct {
	Store  string `json:"store"`
	Member string `json:"member"`
	// Action, UID and Step are those of the last order that was obeyed; Status: none since the start.
	Action Action `json:"action"`
	UID    string `json:"switchoverUID,omitempty"`
	Step   int    `json:"step,omitempty"`
	// Token and Position are the member's when it obeyed.
	Token    uint64   `json:"token,string"`
	Position Position `json:"position"`
	// Primary says that the member was the primary before it obeyed a Fence, Before is the token that it kept then; as
	// far as was asked since the start.
	Primary bool   `json:"primary,omitempty"`
	Before  uint64 `json:"before,string,omitempty"`
	// Error is why the order in force is not obeyed yet, for people.
	Error string `json:"error,omitempty"`
}

// NewRunner fills in defaults.
func NewRunner(cfg RunnerConfig) *Runner {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&cfg.Timeout, DefaultTimeout}, {&cfg.Pause, defaultPause}, {&cfg.Longest, defaultLongest},
		{&cfg.Recheck, defaultRecheck},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	return &Runner{cfg: cfg}
}

// Ordered says which order is in force; nil: none. The same again is without effect.
func (r *Runner) Ordered(o *Order, now time.Duration) {
	if o != nil && !o.For(r.cfg.Member) {
		o = nil
	}
	if r.order == o || r.order != nil && o != nil && *r.order == *o {
		return
	}
	r.order, r.before = o, r.last
	r.holds, r.err, r.failures, r.next = false, nil, 0, now
}

// Next says what to do.
func (r *Runner) Next(now time.Duration) Do {
	var do Do
	if r.running != nil {
		switch late := now - r.began; {
		case r.running.order != r.order && !r.broken.finishesFirst:
			do.Cancel, r.running = true, nil
		case late >= r.cfg.Timeout && !r.broken.waitsForEver:
			do.Cancel = true
			r.end(fmt.Errorf("%s: %w: nothing within %s", r.running.Action, ErrTimeout, r.cfg.Timeout), now)
		default:
			do.Wait = r.cfg.Timeout - late
			return do
		}
	}
	if now < r.next {
		do.Wait = r.next - now
		return do
	}
	r.ids++
	call := &Attempt{
		ID: r.ids, Action: Status, Timeout: r.cfg.Timeout, order: r.order,
		Request: Request{Store: r.cfg.Store, Member: r.cfg.Member},
	}
	if o := r.order; o != nil {
		call.Request = Request{
			Store: o.Store, Member: r.cfg.Member, Token: o.Token, Switchover: o.UID, Step: o.Step, Position: o.Position,
		}
		if r.asked && !r.holds {
			call.Action = o.Action
		}
	}
	r.running, r.began = call, now
	do.Call, do.Wait = call, r.cfg.Timeout
	return do
}

// Answered takes the outcome of a call. That of a call that was given up, or made for another order than the one in
// force, is dropped.
func (r *Runner) Answered(id uint64, s State, err error, now time.Duration) {
	current := r.running != nil && r.running.ID == id && r.running.order == r.order
	if !current && !r.broken.lateCounts {
		if r.running != nil && r.running.ID == id {
			r.running = nil
		}
		return
	}
	action := Status
	if r.running != nil {
		action = r.running.Action
	}
	if err == nil {
		if action == Status && r.order != nil && !r.holds && s.Token < r.order.Token {
			r.before = s
		}
		r.last = s
	}
	if err == nil && r.order != nil {
		err = r.order.Obeyed(s)
		if r.broken.trusts {
			err = nil
		}
		if err != nil && action == Status {
			r.notYet(now)
			return
		}
	}
	if err != nil {
		r.end(fmt.Errorf("%s: %w", action, err), now)
		return
	}
	r.good(s)
	r.end(nil, now)
}

// good takes the state of a member that obeys the order in force, if there is one. What was reported once when it began
// to obey stays, so that a report does not change with each write.
func (r *Runner) good(s State) {
	if r.order == nil {
		if r.obeyed == nil && (!r.asked || s.Token != r.told.Token) {
			r.told = s
		}
		return
	}
	if !r.holds && r.obeyed != r.order {
		r.obeyed, r.told, r.was = r.order, s, r.before
	}
	r.holds = true
}

// notYet is the answer to Status of a member that does not obey the order in force: it is asked to, at once.
func (r *Runner) notYet(now time.Duration) {
	r.running, r.asked, r.holds, r.next = nil, true, false, now
}

// end is the end of a call.
func (r *Runner) end(err error, now time.Duration) {
	r.running, r.asked = nil, true
	if err == nil {
		r.err, r.failures, r.next = nil, 0, now+r.cfg.Recheck
		return
	}
	r.err = err
	pause := r.cfg.Pause << min(r.failures, 20)
	if pause <= 0 || pause > r.cfg.Longest {
		pause = r.cfg.Longest
	}
	if errors.Is(err, ErrLowerToken) {
		pause = r.cfg.Longest // nothing but a new order mends it
	}
	r.failures++
	r.next = now + pause
}

// Report is what to say of the member now.
func (r *Runner) Report() Report {
	report := Report{Store: r.cfg.Store, Member: r.cfg.Member, Token: r.told.Token, Position: r.told.Position}
	if r.obeyed != nil {
		report.Action, report.UID, report.Step = r.obeyed.Action, r.obeyed.UID, r.obeyed.Step
		if r.obeyed.Action == Fence {
			report.Primary, report.Before = r.was.Primary, r.was.Token
		}
	}
	if r.err != nil {
		report.Error = r.err.Error()
	}
	return report
}

// Known says whether the member was asked since the start, so that Report says something.
func (r *Runner) Known() bool { return r.asked }
