package permit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"pentad.dev/pentad/unitization/permit/permitpb"
)

// freeze is one of the hop's permit.
type freeze struct {
	epoch uint64
	// left are the cells whose guards must close.
	left map[string]bool
	// waiting is about how many have not closed: at zero it is worth looking. Only Hop.Closed decides.
	waiting int
}

// freezesOf are the freezes that wait for guards, ascending.
func freezesOf(maps []*permitpb.Map) []*freeze {
	by := map[uint64]*freeze{}
	for _, m := range maps {
		for _, r := range m.GetRanges() {
			if !r.GetFrozen() || len(r.GetLeft()) == 0 {
				continue
			}
			f := by[r.GetSince()]
			if f == nil {
				f = &freeze{epoch: r.GetSince(), left: map[string]bool{}}
				by[f.epoch] = f
			}
			for _, cell := range r.GetLeft() {
				f.left[cell] = true
			}
		}
	}
	var all []*freeze
	for _, f := range by {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b *freeze) int { return int(int64(a.epoch - b.epoch)) })
	return all
}

func (f *freeze) concerns(s *sub) bool {
	return slices.ContainsFunc(s.open.GetCells(), func(cell string) bool { return f.left[cell] })
}

func (f *freeze) count(subs map[string]*sub) {
	f.waiting = 0
	for _, s := range subs {
		if f.concerns(s) && !slices.Contains(s.closed, f.epoch) {
			f.waiting++
		}
	}
}

// sub is what a hop granted to one holder below, over all the holder's streams: a guard that comes back under the same
// session speaks for everything that it holds. It stays until its last permit has ended.
type sub struct {
	open    *permitpb.Open
	streams map[*lease]bool
	// closed are the freezes of the last ask.
	closed []uint64
	// granted says that there may be something left; ends is when the last permit has ended for sure, a reading of the
	// monotonic clock. wallEnds is for a planted bug.
	granted        bool
	ends, wallEnds time.Duration
}

func newSub(open *permitpb.Open) *sub { return &sub{open: open, streams: map[*lease]bool{}} }

func subKey(o *permitpb.Open) string {
	return strings.Join(slices.Concat([]string{o.GetSession(), o.GetName()}, o.GetCells(), o.GetStores()), "\x00")
}

func (s *sub) hint() {
	for l := range s.streams {
		select {
		case l.hints <- struct{}{}:
		default:
		}
	}
}

// grant notes a permit that is waited for that long; an earlier one may end later.
func (s *sub) grant(now Instant, wait time.Duration) {
	if !s.granted {
		s.granted, s.ends, s.wallEnds = true, now.mono+wait, now.wall+wait
		return
	}
	s.ends, s.wallEnds = max(s.ends, now.mono+wait), max(s.wallEnds, now.wall+wait)
}

// ended says whether nothing is left of what was granted, on whatever clock the holder counts.
func (h *Hop) ended(s *sub, now Instant) bool {
	if h.cfg.broken.has(brokenWaitsByWall) {
		return !s.granted || now.wall >= s.wallEnds
	}
	return !s.granted || now.mono >= s.ends
}

// forgetEnded forgets who has gone and holds nothing any more.
func (h *Hop) forgetEnded(now Instant) {
	for key, s := range h.subs {
		if len(s.streams) == 0 && (h.ended(s, now) || h.cfg.broken.has(brokenForgetsMoved)) {
			delete(h.subs, key)
		}
	}
}

// admit says whether the hop may grant to a holder at all.
func (h *Hop) admit(o *permitpb.Open) error {
	if err := checkNames(o); err != nil {
		return err
	}
	if h.cfg.Holder == permitpb.Holder_HOLDER_AGENT {
		if o.GetHolder() != permitpb.Holder_HOLDER_STORE || len(o.GetStores()) == 0 || len(o.GetCells()) > 0 {
			return fmt.Errorf("%w: holder: %s: an agent grants to stores, by their names", ErrMalformed, o.GetHolder())
		}
		return nil
	}
	if o.GetHolder() != permitpb.Holder_HOLDER_GUARD || len(o.GetCells()) == 0 || len(o.GetStores()) > 0 {
		return fmt.Errorf("%w: holder: %s: a relay grants to guards, by their cells", ErrMalformed, o.GetHolder())
	}
	for _, cell := range o.GetCells() {
		unit, center, _ := strings.Cut(cell, ".")
		if unit == "" || center == "" {
			return fmt.Errorf("%w: cells: %q: must be <unit>.<center>", ErrMalformed, cell)
		}
		if center != h.cfg.Center && !h.cfg.broken.has(brokenAnyCell) {
			return fmt.Errorf("%w: cells: %q: this relay is in center %s", ErrDenied, cell, h.cfg.Center)
		}
	}
	return nil
}

// lease is one stream of a holder below.
type lease struct {
	hop   *Hop
	sub   *sub
	hints chan struct{}
}

// Hints is Lease's.
func (l *lease) Hints() <-chan struct{} { return l.hints }

// Close is Lease's: the holder may go on with what it has until it ends.
func (l *lease) Close() {
	l.hop.mu.Lock()
	defer l.hop.mu.Unlock()
	delete(l.sub.streams, l)
}

// Answer is Lease's: at once, from what the hop holds itself. It grants what is left of that now, so whatever time
// passed since the ask makes the permit shorter.
func (l *lease) Answer(_ context.Context, ask *permitpb.Ask) (*permitpb.Answer, error) {
	if err := CheckAsk(ask); err != nil {
		return nil, err
	}
	h, s := l.hop, l.sub
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.cfg.Clock.Now()
	h.hear(s, ask)
	a := &permitpb.Answer{Number: ask.GetNumber()}
	if ask.GetReleased() || h.held == nil {
		return a, nil
	}
	holds := h.held.Left(now)
	if h.cfg.broken.has(brokenMonotonicOnly) {
		holds = h.held.Holds - now.Waited(h.held.Asked)
	}
	if h.cfg.broken.has(brokenGrantsAll) && holds > 0 {
		holds = h.held.Holds
	}
	a.Revision = h.held.Revision
	if len(s.open.GetStores()) > 0 {
		a.Stores = storesFor(h.held.Stores, s.open.GetStores())
	} else {
		a.Maps = mapsFor(h.held.Maps, s.open.GetCells())
	}
	if holds > 0 {
		a.HoldsNs = int64(holds)
		s.grant(now, h.withDrift(holds))
	}
	return a, nil
}

// hear takes what an ask tells, and wakes the client when it may be the last that a freeze waited for.
func (h *Hop) hear(s *sub, ask *permitpb.Ask) {
	before := s.closed
	s.closed = slices.Clone(ask.GetClosed())
	if ask.GetReleased() {
		s.granted = false
	}
	for _, f := range h.freezes {
		if !f.concerns(s) || slices.Contains(before, f.epoch) {
			continue
		}
		if ask.GetReleased() || slices.Contains(s.closed, f.epoch) {
			if f.waiting--; f.waiting <= 0 {
				h.wake()
			}
		}
	}
}

// mapsFor are the maps that concern cells: those that name their units. A unit that owns nothing now is named by none;
// then all are given, so that its guard can say who is right.
func mapsFor(maps []*permitpb.Map, cells []string) []*permitpb.Map {
	var wanted []*permitpb.Map
	for _, m := range maps {
		if slices.ContainsFunc(cells, func(cell string) bool { return names(m, cell) }) {
			wanted = append(wanted, m)
		}
	}
	for _, cell := range cells {
		if !slices.ContainsFunc(maps, func(m *permitpb.Map) bool { return names(m, cell) }) {
			return maps
		}
	}
	return wanted
}

func names(m *permitpb.Map, cell string) bool {
	unit, _, _ := strings.Cut(cell, ".")
	return slices.ContainsFunc(m.GetRanges(), func(r *permitpb.Range) bool {
		return r.GetUnit() == unit || slices.Contains(r.GetCells(), cell) || slices.Contains(r.GetLeft(), cell)
	})
}

func storesFor(stores []*permitpb.StorePermit, names []string) []*permitpb.StorePermit {
	var wanted []*permitpb.StorePermit
	for _, s := range stores {
		if slices.Contains(names, s.GetStore()) {
			wanted = append(wanted, s)
		}
	}
	return wanted
}
