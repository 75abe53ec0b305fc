package intent

import (
	"errors"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/unitization/switchover"
)

var (
	// ErrCompacted says that the history asked for is gone: 410 to a client, who lists anew.
	ErrCompacted = errors.New("revision is compacted")
	// ErrAhead says that this replica has not reached a revision yet.
	ErrAhead = errors.New("revision is ahead of this replica")
)

// View is a picture of the objects at one revision. It never changes, and costs nothing to keep for a while.
type View struct {
	revision uint64
	// only is the kind that the picture is of; empty: all.
	only      string
	objects   objects
	ownership switchover.State
	members   membership
}

// Revision is the revision that the picture shows.
func (v View) Revision() uint64 { return v.revision }

// Get finds an object.
func (v View) Get(kind, name string) (*Object, bool) {
	if v.only != "" && v.only != kind {
		return nil, false
	}
	return v.objects.get(kind, name)
}

// Range calls fn for the objects of a kind in the order of their names (byte by byte), from start on, until fn says
// false.
func (v View) Range(kind, start string, fn func(*Object) bool) {
	if v.only == "" || v.only == kind {
		v.objects.scan(kind, start, fn)
	}
}

// Lookup answers what is declared, for v1alpha1.DeriveStatus and ValidateReferences. A view of one kind has none: nil.
func (v View) Lookup() v1alpha1.Lookup {
	if v.only != "" {
		return nil
	}
	return v.objects
}

// View is the state now.
func (f *FSM) View() View {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return View{revision: f.state.revision, objects: f.state.objects, ownership: f.state.ownership,
		members: f.state.members}
}

// Ownership is the state of ownership in the same picture; empty in a view of one kind. It must not be changed.
func (v View) Ownership() switchover.State { return v.ownership }

// Ownership is the state of ownership now, and the revision that it is of: who has waited for that revision sees this
// state or a later one. The channel is closed at the next change. The state must not be changed.
func (f *FSM) Ownership() (switchover.State, uint64, <-chan struct{}) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.state.ownership, f.state.revision, f.owned
}

// ownershipNews wakes who waits for a change of the ownership. The lock is held.
func (f *FSM) ownershipNews() {
	close(f.owned)
	f.owned = make(chan struct{})
}

// ViewAt is one kind's state at an exact revision: only that kind is in the view, since history is kept by kind. It
// fails with ErrCompacted or ErrAhead.
func (f *FSM) ViewAt(kind string, revision uint64) (View, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if revision > f.state.revision {
		return View{}, ErrAhead
	}
	h, err := f.history(kind)
	if err != nil {
		return View{}, err
	}
	at, ok := h.at(revision)
	if !ok {
		return View{}, ErrCompacted
	}
	return View{revision: revision, only: kind, objects: at}, nil
}
