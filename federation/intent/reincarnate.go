package intent

import (
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/switchover"
)

// LongestPermit is how long a permit can hold at most, whatever was declared when it was given.
const LongestPermit = permit.Longest

// restoredLevel is the level from which states can be reconciled.
const restoredLevel = 2

// ErrReincarnate says that a state cannot begin a new life.
var ErrReincarnate = errors.New("the state cannot begin a new life")

// Rules of a new life that a test breaks on purpose.
const (
	// brokenIncarnationReused begins a new life under the incarnation of the last (rule 8).
	brokenIncarnationReused breakage = 1 << (50 + iota)
	// brokenRevisionKept goes on with the revisions of the last life (rule 8).
	brokenRevisionKept
	// brokenLifeInSession keeps the sessions, the tokens and the servers of the last life (rule 8).
	brokenLifeInSession
)

// Reincarnate begins a new life of an estate from this state, of which nobody knows how old it is (rule 8): under a
// higher incarnation, which is now's unix seconds or, if the last one is not below that, the next. self is its only
// server; those of before and their tokens are forgotten, and come with new ones. Sessions end, and so do switchovers
// that run; everything that takes writes is closed until the estate has been reconciled, which begins when permits of
// before cannot hold any more: after longest, of which LongestPermit is always enough. What is declared stays, and the
// answers to commands: a retry of what is in the state is not applied again.
//
// It is for a state machine that no Raft log feeds, and whose snapshot then is the first of a new log. On an error
// nothing has changed.
func (f *FSM) Reincarnate(now time.Time, self *intentpb.Server, longest time.Duration) error {
	if err := checkServer("server", self); err != nil {
		return fmt.Errorf("%w: %w", ErrReincarnate, err)
	}
	if longest <= 0 || longest > LongestPermit {
		return fmt.Errorf("%w: longest permit %s: must be above zero and at most %s", ErrReincarnate, longest, LongestPermit)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	incarnation, err := f.nextLife(now)
	if err != nil {
		return err
	}
	if level := f.state.members.level; self.GetLevel() < level {
		return fmt.Errorf("%w: %w", ErrReincarnate, &ErrLevel{Has: level, Knows: self.GetLevel()})
	}
	e := &entry{f: f, state: f.state, at: now.UTC().Truncate(time.Millisecond), before: f.state.ownership}
	e.state.applied = 0
	first := incarnation << revisionBits
	e.state.incarnation = incarnation
	if !f.config.broken.has(brokenRevisionKept) {
		e.state.revision = first
	}
	if errs := e.reborn(first, longest, self); len(errs) > 0 {
		return fmt.Errorf("%w: %w", ErrReincarnate, errs.ToAggregate())
	}
	f.replace(e.state, f.answers)
	return nil
}

// nextLife is the incarnation that follows.
func (f *FSM) nextLife(now time.Time) (uint64, error) {
	s := f.state
	last := max(s.incarnation, s.revision>>revisionBits, s.ownership.Epoch>>revisionBits) // a counter may have run over
	next := last + 1
	if unix := now.Unix(); unix > 0 {
		next = max(next, uint64(unix))
	}
	if f.config.broken.has(brokenIncarnationReused) {
		return s.incarnation, nil
	}
	if next > maxIncarnation {
		return 0, fmt.Errorf("%w: incarnation %d: must be at most %d: the clock says %s", ErrReincarnate, next,
			uint64(maxIncarnation), now.UTC().Format(timeFormat))
	}
	return next, nil
}

func (e *entry) reborn(epoch uint64, longest time.Duration, self *intentpb.Server) field.ErrorList {
	broken := e.f.config.broken
	sessions := e.state.ownership.Sessions
	if broken.has(brokenIncarnationReused) {
		epoch = e.state.ownership.Epoch + 1
	}
	if errs := e.advance(switchover.Reincarnate{Epoch: epoch, Wait: longest}); len(errs) > 0 {
		return errs
	}
	if broken.has(brokenLifeInSession) {
		e.state.ownership.Sessions = sessions
	} else {
		e.state.members = e.state.members.alone(self)
	}
	e.state.members.level = max(e.state.members.level, min(restoredLevel, self.GetLevel()))
	return e.settle(nil, nil, nil).Errors()
}

// reconcile is the leader's, when it has waited, and when it knows of more primaries.
func (e *entry) reconcile(r *intentpb.Reconcile) field.ErrorList {
	return e.advance(switchover.Reconcile{World: world(e.state.objects), Stores: r.GetStores()})
}

// checkReconcile is checkOperation for Reconcile.
func checkReconcile(r *intentpb.Reconcile) error {
	if n := len(r.GetStores()); n > MaxBatch {
		return fmt.Errorf("stores: %d of them: must be at most %d", n, MaxBatch)
	}
	for i, name := range r.GetStores() {
		if err := named(fmt.Sprintf("stores[%d]", i), name); err != nil {
			return err
		}
	}
	return positive("term", r.GetTerm(), "the proposer's term")
}
