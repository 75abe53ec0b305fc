package controller

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/unitization/switchover"
)

// tenure is one leadership.
type tenure struct {
	cfg    Config
	term   uint64
	memory *memory
	log    *slog.Logger
	news   chan struct{}
	held   *atomic.Pointer[intentpb.Held]

	mu       sync.Mutex
	sessions map[string]progress
	asked    time.Time // when the servers were asked about sessions
	reports  map[feed.ID]map[string]report
	hurry    bool // a switchover waits for relays
}

// work looks, proposes, and waits until there is something new.
func (t *tenure) work(ctx context.Context) {
	for ctx.Err() == nil {
		state, revision, changed := t.cfg.Machine.Ownership()
		now := t.cfg.now()
		t.memory.see(state, revision, now)
		proposals, again := next(state, t.memory, t.heard(state), now)
		if len(proposals) > 0 {
			if !t.propose(ctx, proposals) {
				wait(ctx, nil, t.news, pauseAfter)
			}
			continue
		}
		pause := time.Minute
		if !again.IsZero() {
			pause = max(again.Sub(now), time.Millisecond)
		}
		wait(ctx, changed, t.news, pause)
	}
}

// wait returns when there is news, or after a pause.
func wait(ctx context.Context, changed, news <-chan struct{}, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-changed:
	case <-news:
	case <-timer.C:
	}
}

// propose makes the proposals one after the other. It says whether all were taken.
func (t *tenure) propose(ctx context.Context, proposals []proposal) bool {
	all := true
	for _, p := range proposals {
		p.command.Id, p.command.ProposedAtUnixMs = make([]byte, intent.IDSize), time.Now().UnixMilli()
		_, _ = rand.Read(p.command.Id) // it never fails
		attempt, cancel := context.WithTimeout(ctx, proposesIn)
		result, err := t.cfg.Propose(attempt, p.command)
		cancel()
		switch {
		case err != nil:
			t.log.Warn("proposal failed", "switchover", p.switchover, "why", p.why, "error", err)
			return false
		case !result.OK:
			t.log.Warn("proposal refused", "switchover", p.switchover, "why", p.why, "refused", result.Errors().ToAggregate())
			all = false
		default:
			t.log.Info("proposed", "switchover", p.switchover, "why", p.why, "revision", result.Revision)
		}
	}
	return all
}

// heard is what is known beside the state.
func (t *tenure) heard(state switchover.State) heard {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := heard{sessions: t.sessions, asked: t.asked, term: t.term, wall: t.cfg.now(), deadlines: map[string]time.Time{}}
	view := t.cfg.Machine.View()
	for _, feed := range t.reports {
		for _, r := range feed {
			if Drives(view.Lookup(), r.cluster, r.store, r.member) {
				h.reports = append(h.reports, r)
			}
		}
	}
	t.hurry = false
	for name, o := range state.Switchovers {
		if o.Phase >= switchover.PhaseDone {
			continue
		}
		switch o.Phase {
		case switchover.PhaseApproved, switchover.PhaseFrozen, switchover.PhaseCaughtUp, switchover.PhaseOpened:
			t.hurry = true
		}
		if deadline, ok := deadline(view, name); ok {
			h.deadlines[name] = deadline
		}
	}
	return h
}

// Drives says whether the agent of a cluster drives a store's member: what any other agent says of it is not heard.
func Drives(declared v1alpha1.Lookup, cluster, store, member string) bool {
	s, ok := declared.Store(store)
	return ok && slices.ContainsFunc(s.Spec.Members, func(m v1alpha1.StoreMember) bool {
		return m.Center == member && m.Cluster == cluster
	})
}

// deadline is when a switchover rolls back by itself.
func deadline(view intent.View, name string) (time.Time, bool) {
	object, ok := view.Get(v1alpha1.KindSwitchover, name)
	if !ok {
		return time.Time{}, false
	}
	var declared v1alpha1.Switchover
	if json.Unmarshal(object.Value, &declared) != nil {
		return time.Time{}, false
	}
	return intent.Deadline(&declared), true
}

func (t *tenure) tell() {
	select {
	case t.news <- struct{}{}:
	default:
	}
}
