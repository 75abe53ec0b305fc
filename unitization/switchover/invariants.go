package switchover

import (
	"errors"
	"fmt"
	"slices"
)

// Check says what of a state's own invariants does not hold: maps total, sorted and disjoint; epochs not above the
// state's; each lock that of a running switchover which moves what it locks.
func (s State) Check() error {
	var errs []error
	for name, m := range sorted(s.Maps) {
		if err := s.checkMap(name, m); err != nil {
			errs = append(errs, fmt.Errorf("map %s: %w", name, err))
		}
	}
	for name, store := range sorted(s.Stores) {
		if err := s.checkStore(name, store); err != nil {
			errs = append(errs, fmt.Errorf("store %s: %w", name, err))
		}
	}
	for id, session := range sorted(s.Sessions) {
		if session == nil || session.ID != id || session.Holder != Relay && session.Holder != Agent {
			errs = append(errs, fmt.Errorf("session %s: not its own", id))
		}
	}
	for name, sw := range sorted(s.Switchovers) {
		if err := s.checkSwitchover(name, sw); err != nil {
			errs = append(errs, fmt.Errorf("switchover %s: %w", name, err))
		}
	}
	return errors.Join(append(errs, s.checkRestored())...)
}

// checkRestored: a recovery is of a store that nobody locks, and its order is the one in force.
func (s State) checkRestored() error {
	if s.Restored == nil {
		return nil
	}
	if s.Restored.Epoch > s.Epoch {
		return fmt.Errorf("restored in epoch %d, and it is %d", s.Restored.Epoch, s.Epoch)
	}
	for name, r := range sorted(s.Restored.Recoveries) {
		store := s.Stores[name]
		switch {
		case r == nil || store == nil || store.Lock != "":
			return fmt.Errorf("recovery of %s: there is no such store, or a switchover moves it", name)
		case (r.Phase == PhaseFrozen) == s.Restored.Waited || (store.Order == nil) != (r.Phase == PhaseFrozen):
			return fmt.Errorf("recovery of %s: in phase %s, waited %t", name, r.Phase, s.Restored.Waited)
		case store.Order != nil && (store.Order.UID != s.Restored.UID() || store.Order.Step != r.Step):
			return fmt.Errorf("recovery of %s: step %d, and the order in force is another one", name, r.Step)
		case (len(r.Plan.Stores) == 1) != (r.Phase >= PhaseCommitted):
			return fmt.Errorf("recovery of %s: in phase %s, with a plan of %d stores", name, r.Phase, len(r.Plan.Stores))
		}
	}
	return nil
}

func (s State) checkMap(name string, m *Map) error {
	if m == nil || m.Shards < 1 || m.Epoch > s.Epoch || m.Permit <= 0 {
		return errors.New("without shards, a permit's duration, or ahead of the epoch")
	}
	next := 0
	for i, r := range m.Ranges {
		switch {
		case r.From != next || r.To < r.From:
			return fmt.Errorf("shards %s follow shard %d", span(r.From, r.To), next-1)
		case r.Unit == "" || len(r.Cells) == 0 || !strictly(r.Cells) || !strictly(r.Left):
			return fmt.Errorf("shards %s have no owner, or cells out of order", span(r.From, r.To))
		case r.Since == 0 || r.Since > m.Epoch:
			return fmt.Errorf("shards %s are of epoch %d, the map is of %d", span(r.From, r.To), r.Since, m.Epoch)
		case i > 0 && alike(m.Ranges[i-1], r):
			return fmt.Errorf("shards %s are not joined with those before", span(r.From, r.To))
		case r.Frozen != s.freezes(name, r) && !(r.restored() && s.Restored != nil && r.Since >= s.Restored.Epoch):
			return fmt.Errorf("shards %s: frozen %t, lock %q", span(r.From, r.To), r.Frozen, r.Lock)
		case len(r.Left) > 0 && !r.Frozen:
			return fmt.Errorf("shards %s are left, and not frozen", span(r.From, r.To))
		}
		next = r.To + 1
	}
	if next != m.Shards || !strictly(m.Wanted) {
		return fmt.Errorf("holds shards 0 to %d of %d", next-1, m.Shards)
	}
	return nil
}

// freezes says whether the switchover that a range is locked by has it frozen now.
func (s State) freezes(unitization string, r Range) bool {
	sw := s.Switchovers[r.Lock]
	if r.Lock == "" || sw == nil || !sw.Phase.Running() {
		return false
	}
	if sw.Phase == PhaseApproved && sw.NoReturn {
		return r.Frozen // as the superseded switchover left it
	}
	return sw.Phase >= PhaseFrozen && sw.Phase < PhaseOpened
}

func (s State) checkStore(name string, store *Store) error {
	if store == nil || !strictly(store.Members) || !slices.Contains(store.Members, store.Primary) {
		return errors.New("its primary is no member, or members are out of order")
	}
	if store.Token > s.Epoch || store.Accepting && store.Fenced {
		return errors.New("its token is ahead of the epoch, or it is fenced and takes writes")
	}
	if store.Order != nil && store.Order.Token != store.Token {
		return fmt.Errorf("its order has token %d, and it has %d", store.Order.Token, store.Token)
	}
	if store.Lock == "" {
		if r := s.recovery(name); store.Accepting == (r != nil && r.Phase < PhaseOpened) {
			return errors.New("it is closed, and no switchover moves it; or it was restored, and is open")
		}
		return nil
	}
	sw := s.Switchovers[store.Lock]
	if sw == nil || !sw.Phase.Running() || !sw.Plan.has(name) {
		return fmt.Errorf("locked by %s, which does not move it now", store.Lock)
	}
	return nil
}

func (s State) checkSwitchover(name string, sw *Switchover) error {
	if sw == nil || sw.Name != name || sw.Phase < PhasePlanned || sw.Phase > PhaseSuperseded ||
		sw.Hash != sw.Plan.Hash() {
		return errors.New("not its own, or of another plan")
	}
	if sw.Freeze > s.Epoch || sw.Commit > s.Epoch || sw.Commit > 0 && sw.Commit <= sw.Freeze {
		return fmt.Errorf("freeze %d, commit %d, epoch %d", sw.Freeze, sw.Commit, s.Epoch)
	}
	if !sw.Phase.Running() {
		return nil
	}
	for _, move := range sw.Plan.Moves {
		m := s.Maps[move.Unitization]
		if m == nil || move.To >= m.Shards {
			return fmt.Errorf("moves shards of %s, which are not there", move.Unitization)
		}
		for _, r := range m.Ranges {
			if r.To >= move.From && r.From <= move.To && r.Lock != name {
				return fmt.Errorf("does not hold shards %s of %s", span(r.From, r.To), move.Unitization)
			}
		}
	}
	for _, move := range sw.Plan.Stores {
		if store := s.Stores[move.Store]; store == nil || store.Lock != name {
			return fmt.Errorf("does not hold store %s", move.Store)
		}
	}
	return nil
}

// strictly says whether a list is sorted and names nothing twice.
func strictly(list []string) bool {
	for i := 1; i < len(list); i++ {
		if list[i-1] >= list[i] {
			return false
		}
	}
	return true
}
