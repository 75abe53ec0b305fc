package stream

import (
	"cmp"
	"slices"
	"time"

	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/switchover"
)

// SessionProgress is what a server knows of a session that asks, or asked, here.
type SessionProgress struct {
	Session string
	// Age is how long ago it last asked here.
	Age time.Duration
	// Rendered is the intent revision that the relay's data planes were served from then.
	Rendered uint64
}

type seen struct {
	at       time.Time
	rendered uint64
}

func (r *Root) saw(session string, rendered uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[session] = &seen{time.Now(), rendered}
}

// Progress are the sessions that ask here, and those that asked here last and are still in the log, sorted. It is for
// people, and for the leader's judgement of who is gone; no right hangs on it.
func (r *Root) Progress() []SessionProgress {
	s, _, _ := r.cfg.Authority.State()
	r.mu.Lock()
	defer r.mu.Unlock()
	asking := map[string]bool{}
	for l := range r.leases {
		asking[l.session.ID] = true
	}
	var all []SessionProgress
	for id, p := range r.seen {
		if !asking[id] && s.Sessions[id] == nil {
			delete(r.seen, id)
			continue
		}
		all = append(all, SessionProgress{Session: id, Age: time.Since(p.at), Rendered: p.rendered})
	}
	slices.SortFunc(all, func(a, b SessionProgress) int { return cmp.Compare(a.Session, b.Session) })
	return all
}

// termsCache has the terms of one revision: sessions of one kind in one center share theirs.
type termsCache struct {
	revision uint64
	of       map[termsKey]permit.Terms
}

type termsKey struct {
	holder switchover.Holder
	center string
}

func (r *Root) termsFor(s switchover.State, revision uint64, session switchover.Session) permit.Terms {
	key := termsKey{session.Holder, session.Center}
	concerns := func(unitization string) bool {
		return r.cfg.Concerns == nil || r.cfg.Concerns(unitization, session.Center)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.terms.of == nil || r.terms.revision < revision {
		r.terms = termsCache{revision, map[termsKey]permit.Terms{}}
	}
	if r.terms.revision > revision { // of a state that another ask has already seen the successor of
		return permit.TermsOf(s, session.Holder, session.Center, concerns)
	}
	t, ok := r.terms.of[key]
	if !ok {
		t = permit.TermsOf(s, session.Holder, session.Center, concerns)
		r.terms.of[key] = t
	}
	return t
}
