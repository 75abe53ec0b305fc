package controller

import (
	"maps"
	"time"

	"pentad.dev/pentad/unitization/switchover"
)

// phaseKey names a phase of one switchover: names are used again, uids are not.
type phaseKey struct {
	uid   string
	phase switchover.Phase
}

// memory is what a leader has seen in its own term. It begins empty with each term and each process (rule 5).
type memory struct {
	// phases is when, and at which revision, each phase of the present switchovers was first seen.
	phases map[phaseKey]sighting
	// closed is when each closed session was first seen closed.
	closed map[string]time.Time
	// first is when each session was first seen, last when somebody heard of it last, which begins with first.
	first, last map[string]time.Time
	// longest is the longest T that permits under each map may have, and until when a longer one than the map's counts.
	longest map[string]term
	// lives is when a restored state was first seen, and first seen after its wait.
	lives map[life]time.Time
}

// sighting is when something was first seen.
type sighting struct {
	at       time.Time
	revision uint64
}

// term is T, the longest one before it, and when this was first seen to be so.
type term struct {
	now, before time.Duration
	changed     time.Time
}

func newMemory() *memory {
	return &memory{
		phases: map[phaseKey]sighting{}, closed: map[string]time.Time{}, first: map[string]time.Time{},
		last: map[string]time.Time{}, longest: map[string]term{},
	}
}

// see notes what is new in a state, and forgets what is gone.
func (m *memory) see(s switchover.State, revision uint64, now time.Time) {
	m.seeLife(s, now)
	if trustsPredecessor && len(m.phases) == 0 && len(m.first) == 0 {
		now = now.Add(-time.Hour)
	}
	present := map[string]bool{}
	for _, o := range s.Switchovers {
		present[o.UID] = true
		key := phaseKey{o.UID, o.Phase}
		if _, ok := m.phases[key]; !ok {
			m.phases[key] = sighting{now, revision}
		}
	}
	for key := range m.phases {
		if !present[key.uid] {
			delete(m.phases, key)
		}
	}
	for id, session := range s.Sessions {
		if _, ok := m.closed[id]; session.Closed && !ok {
			m.closed[id] = now
		}
		if _, ok := m.first[id]; !ok {
			m.first[id], m.last[id] = now, now
		}
	}
	removed := func(id string, _ time.Time) bool { return s.Sessions[id] == nil }
	maps.DeleteFunc(m.closed, removed)
	maps.DeleteFunc(m.first, removed)
	maps.DeleteFunc(m.last, removed)
	for name, ownership := range s.Maps {
		t, ok := m.longest[name]
		if !ok || t.now != ownership.Permit || t.before != ownership.PermitBefore {
			m.longest[name] = term{now: ownership.Permit, before: ownership.PermitBefore, changed: now}
		}
	}
}

// hear notes what was heard of sessions. A server that restarts has forgotten them: who was heard of before it still was.
func (m *memory) hear(h heard) {
	for id, p := range h.sessions {
		if last, ok := m.last[id]; ok {
			m.last[id] = later(last, h.asked.Add(-p.age))
		}
	}
}

// waitedOut is when every permit of before an entry that was seen at has ended: T later, and when T was changed, also the
// old T after the change (rule 5), with drift.
func (m *memory) waitedOut(at time.Time) time.Time {
	if waitsLess {
		return at.Add(drift(defaultPermit) / 10)
	}
	end := at
	for _, t := range m.longest {
		end = later(end, at.Add(drift(t.now)))
		if t.before > 0 {
			end = later(end, t.changed.Add(drift(t.before)))
		}
	}
	if len(m.longest) == 0 {
		end = at.Add(drift(defaultPermit))
	}
	return end
}

// drift is a duration on another machine's clock, measured on this one: clocks differ by less than a hundredth.
func drift(t time.Duration) time.Duration { return t + t/100 }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
