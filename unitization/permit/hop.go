package permit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"pentad.dev/pentad/unitization/permit/permitpb"
)

// HopConfig configures a Hop.
type HopConfig struct {
	// Holder is what the hop is upstream: HOLDER_RELAY grants to guards, HOLDER_AGENT to stores.
	Holder permitpb.Holder
	// Center is where the hop is; it grants only to cells of this center. Required.
	Center string
	// Clock is that of the client upstream, too. Required.
	Clock Clock
	// Rendered is the intent revision that the relay's data planes are served from; may be nil.
	Rendered func() uint64
	// Log may be nil.
	Log *slog.Logger

	broken breakage
}

// Validate says what is wrong with the configuration.
func (c HopConfig) Validate() error {
	switch {
	case c.Holder != permitpb.Holder_HOLDER_RELAY && c.Holder != permitpb.Holder_HOLDER_AGENT:
		return fmt.Errorf("permit hop: holder: %s: must be HOLDER_RELAY or HOLDER_AGENT", c.Holder)
	case c.Center == "":
		return errors.New("permit hop: center: is required")
	case c.Clock == nil:
		return errors.New("permit hop: clock: is required")
	}
	return nil
}

// Hop hands permits on: upstream it is a Holder, downstream a Grantor. Relays and agents have one each. Everything that
// it knows is in memory: a hop that restarts has forgotten whom it granted to, and so acknowledges nothing for a while.
type Hop struct {
	cfg     HopConfig
	started Instant
	wakes   chan struct{}

	mu   sync.Mutex
	held *Permit
	// longest is the greatest Holds of any permit so far: what the process before this one may have granted.
	longest time.Duration
	// freezes are those of held, ascending.
	freezes []*freeze
	subs    map[string]*sub
}

// NewHop fails on a wrong configuration.
func NewHop(cfg HopConfig) (*Hop, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Hop{cfg: cfg, started: cfg.Clock.Now(), wakes: make(chan struct{}, 1), subs: map[string]*sub{}}, nil
}

// Granted is Holder's: the hop's own permit. Everybody below is hinted when it says something else than the one before.
func (h *Hop) Granted(p *Permit) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held != nil && p.Revision < h.held.Revision && !h.cfg.broken.has(brokenGoesBack) {
		h.cfg.Log.Warn("an answer is older than the permit that is held",
			"revision", p.Revision, "held", h.held.Revision)
		return
	}
	now := h.cfg.Clock.Now()
	same := p.sameAs(h.held)
	news := !same || h.held.Left(now) <= 0 && p.Left(now) > 0
	h.held, h.longest = p, max(h.longest, p.Holds)
	if !same {
		h.freezes = freezesOf(p.Maps)
		for _, f := range h.freezes {
			f.count(h.subs)
		}
	}
	if news {
		for _, s := range h.subs {
			s.hint()
		}
	}
}

// Rendered is Holder's.
func (h *Hop) Rendered() uint64 {
	if h.cfg.Rendered == nil {
		return 0
	}
	return h.cfg.Rendered()
}

// Wakes is Waker's: it has something when the last guard has closed a freeze.
func (h *Hop) Wakes() <-chan struct{} { return h.wakes }

// Closed is Holder's: the freezes of the hop's permit of which every guard concerned says that it refuses, with nothing
// in flight, or has nothing left of what the hop granted. A hop that has not run for as long as the process before it
// may have granted knows no such freeze (rule 6). Agents' sessions never acknowledge.
func (h *Hop) Closed() []uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.cfg.Clock.Now()
	h.forgetEnded(now)
	if h.cfg.Holder != permitpb.Holder_HOLDER_RELAY || !h.longEnough(now) {
		return nil
	}
	var closed []uint64
	for _, f := range h.freezes {
		if h.closed(f, now) {
			closed = append(closed, f.epoch)
		}
	}
	return closed
}

func (h *Hop) closed(f *freeze, now Instant) bool {
	if h.cfg.broken.has(brokenAcksByPosition) {
		return true
	}
	for _, s := range h.subs {
		if f.concerns(s) && !slices.Contains(s.closed, f.epoch) && !h.ended(s, now) {
			return false
		}
	}
	return true
}

// longEnough says whether no permit can be left that an earlier process of this hop granted.
func (h *Hop) longEnough(now Instant) bool {
	return h.cfg.broken.has(brokenAcksAfterStart) || h.longest > 0 && now.Waited(h.started) >= h.withDrift(h.longest)
}

func (h *Hop) withDrift(d time.Duration) time.Duration {
	if h.cfg.broken.has(brokenNoDrift) {
		return d
	}
	return WithDrift(d)
}

// wake makes the client ask: there is something to acknowledge.
func (h *Hop) wake() {
	select {
	case h.wakes <- struct{}{}:
	default:
	}
}

// Open is Grantor's.
func (h *Hop) Open(_ context.Context, open *permitpb.Open) (Lease, error) {
	if err := h.admit(open); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forgetEnded(h.cfg.Clock.Now())
	key := subKey(open)
	s := h.subs[key]
	if s == nil {
		s = newSub(open)
		h.subs[key] = s
		for _, f := range h.freezes {
			if f.concerns(s) {
				f.waiting++
			}
		}
	}
	l := &lease{hop: h, sub: s, hints: make(chan struct{}, 1)}
	s.streams[l] = true
	return l, nil
}

// HopStatus is the state of a hop for operators.
type HopStatus struct {
	// Revision is that of the hop's own permit, Left what is left of it.
	Revision uint64        `json:"revision"`
	Left     time.Duration `json:"left"`
	// Holders are those that hold streams now; Moved are those that went, and may hold something yet.
	Holders int `json:"holders"`
	Moved   int `json:"moved"`
	// Freezes are those in force, with how many below have not closed yet.
	Freezes []FreezeStatus `json:"freezes,omitempty"`
}

// FreezeStatus is how far a freeze has come below a hop.
type FreezeStatus struct {
	Freeze uint64 `json:"freeze"`
	// Waiting are the names of those that have not closed it and still hold something.
	Waiting []string `json:"waiting,omitempty"`
}

// Status says how the hop stands.
func (h *Hop) Status() HopStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.cfg.Clock.Now()
	st := HopStatus{Left: max(0, h.held.Left(now))}
	if h.held != nil {
		st.Revision = h.held.Revision
	}
	for _, s := range h.subs {
		if len(s.streams) > 0 {
			st.Holders++
		} else if !h.ended(s, now) {
			st.Moved++
		}
	}
	for _, f := range h.freezes {
		fs := FreezeStatus{Freeze: f.epoch}
		for _, s := range h.subs {
			if f.concerns(s) && !slices.Contains(s.closed, f.epoch) && !h.ended(s, now) {
				fs.Waiting = append(fs.Waiting, s.open.GetName())
			}
		}
		slices.Sort(fs.Waiting)
		st.Freezes = append(st.Freezes, fs)
	}
	return st
}
