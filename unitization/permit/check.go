package permit

import (
	"fmt"
	"time"

	"pentad.dev/pentad/unitization/permit/permitpb"
)

// most are bounds of what a message may name.
const (
	mostShards = 16384
	mostNames  = 1024
)

// FromAnswer is the permit that an answer gives to who asked at that moment. An answer that says what cannot be is
// ErrMalformed, and gives nothing: a map that is not total, or a permit that holds too long, would give rights that
// nobody waits for.
func FromAnswer(asked Instant, a *permitpb.Answer) (*Permit, error) {
	p := &Permit{
		Asked: asked, Holds: time.Duration(a.GetHoldsNs()), Revision: a.GetRevision(),
		Maps: a.GetMaps(), Stores: a.GetStores(),
	}
	if p.Holds < 0 || p.Holds > Longest {
		return nil, fmt.Errorf("%w: holds: %s: must be between 0 and %s", ErrMalformed, p.Holds, Longest)
	}
	if p.Holds > 0 && p.Revision == 0 {
		return nil, fmt.Errorf("%w: revision: 0: must be that of the state", ErrMalformed)
	}
	names := map[string]bool{}
	for _, m := range p.Maps {
		if names[m.GetUnitization()] {
			return nil, fmt.Errorf("%w: maps[%s]: is there twice", ErrMalformed, m.GetUnitization())
		}
		names[m.GetUnitization()] = true
		if err := checkMap(m); err != nil {
			return nil, fmt.Errorf("%w: maps[%s]: %w", ErrMalformed, m.GetUnitization(), err)
		}
	}
	clear(names)
	for _, s := range p.Stores {
		if s.GetStore() == "" || names[s.GetStore()] {
			return nil, fmt.Errorf("%w: stores[%s]: must have a name that no other has", ErrMalformed, s.GetStore())
		}
		names[s.GetStore()] = true
	}
	return p, nil
}

// checkMap says what is wrong with a map: its ranges must be sorted and hold every shard once.
func checkMap(m *permitpb.Map) error {
	switch {
	case m.GetUnitization() == "":
		return fmt.Errorf("unitization: is required")
	case m.GetShards() == 0 || m.GetShards() > mostShards:
		return fmt.Errorf("shards: %d: must be between 1 and %d", m.GetShards(), mostShards)
	case m.GetEpoch() == 0:
		return fmt.Errorf("epoch: 0: there is no such")
	}
	next := uint32(0)
	for i, r := range m.GetRanges() {
		switch {
		case r.GetFrom() != next || r.GetTo() < r.GetFrom() || r.GetTo() >= m.GetShards():
			return fmt.Errorf("ranges[%d]: %d to %d: must begin at %d and end before %d",
				i, r.GetFrom(), r.GetTo(), next, m.GetShards())
		case r.GetUnit() == "":
			return fmt.Errorf("ranges[%d]: unit: is required", i)
		case r.GetSince() == 0 || r.GetSince() > m.GetEpoch():
			return fmt.Errorf("ranges[%d]: since: %d: must be between 1 and the map's epoch %d",
				i, r.GetSince(), m.GetEpoch())
		}
		next = r.GetTo() + 1
	}
	if next != m.GetShards() {
		return fmt.Errorf("ranges: end before shard %d of %d", next, m.GetShards())
	}
	return nil
}

// CheckAsk says what is wrong with an ask: ErrMalformed.
func CheckAsk(a *permitpb.Ask) error {
	if n := len(a.GetClosed()); n > mostNames {
		return fmt.Errorf("%w: closed: %d freezes: at most %d", ErrMalformed, n, mostNames)
	}
	return nil
}

// checkNames says what is wrong with the names of an open.
func checkNames(o *permitpb.Open) error {
	switch {
	case o.GetSession() == "":
		return fmt.Errorf("%w: session: is required", ErrMalformed)
	case o.GetName() == "":
		return fmt.Errorf("%w: name: is required", ErrMalformed)
	case len(o.GetCells()) > mostNames || len(o.GetStores()) > mostNames:
		return fmt.Errorf("%w: %d cells, %d stores: at most %d each",
			ErrMalformed, len(o.GetCells()), len(o.GetStores()), mostNames)
	}
	return nil
}
