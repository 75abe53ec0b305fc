package intent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"pentad.dev/pentad/crds/v1alpha1"
)

// past is traffic on one FSM, and everything that happened to it.
type past struct {
	*traffic
	f    *FSM
	made []Event
	// live are cursors that were opened at some time and are read now and then.
	live []*liveWatch
}

type liveWatch struct {
	kind   string
	cursor *Cursor
	after  uint64
}

// watched runs commands and watches, and returns the first contradiction.
func watched(seed uint64, config Config, steps int) error {
	p := &past{traffic: newTraffic(seed), f: mustNew(config)}
	for i := range steps {
		before := p.f.View()
		command, _ := p.one(before)
		p.f.Apply(uint64(i+1), command)
		p.note(before)
		if chance(p.rnd, 12) {
			if err := p.everyRevision(); err != nil {
				return fmt.Errorf("entry %d: %w", i+1, err)
			}
		}
		if err := p.readLive(); err != nil {
			return fmt.Errorf("entry %d: %w", i+1, err)
		}
		if chance(p.rnd, 80) {
			if err := p.restore(); err != nil {
				return fmt.Errorf("entry %d: restore: %w", i+1, err)
			}
		}
	}
	return p.everyRevision()
}

func (p *past) note(before View) { p.made = append(p.made, changes(before, p.f.View())...) }

// everyRevision watches and lists every kind from every revision, retained or not.
func (p *past) everyRevision() error {
	now := p.f.Revision()
	for _, kind := range v1alpha1.Kinds() {
		compacted, retained := p.f.Compacted(kind), 0
		state := map[string]*Object{}
		of := filter(p.made, kind, 0)
		if err := p.at(kind, emptyRevision, compacted, state, of); err != nil {
			return err
		}
		for i, e := range of {
			state[e.Name] = e.Object
			if e.Object == nil {
				delete(state, e.Name)
			}
			if e.Revision > compacted {
				retained++
			}
			if err := p.at(kind, e.Revision, compacted, state, of[i+1:]); err != nil {
				return err
			}
		}
		if want := min(len(of), p.f.config.History); retained < want && p.f.restores == 0 {
			return fmt.Errorf("%d changes of kind %s are retained, want %d", retained, kind, want)
		}
		if _, err := p.f.ViewAt(kind, now+1); !errors.Is(err, ErrAhead) {
			return fmt.Errorf("a view of the future says %v", err)
		}
	}
	return nil
}

// at checks one kind at one revision, with the state then and the changes since.
func (p *past) at(kind string, revision, compacted uint64, state map[string]*Object, since []Event) error {
	cursor, err := p.f.Watch(kind, revision)
	view, viewErr := p.f.ViewAt(kind, revision)
	if revision < compacted {
		if !errors.Is(err, ErrCompacted) || !errors.Is(viewErr, ErrCompacted) {
			return fmt.Errorf("%s at %d, compacted at %d: errors are %v and %v", kind, revision, compacted, err, viewErr)
		}
		return nil
	}
	if err != nil || viewErr != nil {
		return fmt.Errorf("%s at %d, compacted at %d: errors are %v and %v", kind, revision, compacted, err, viewErr)
	}
	n := 0
	view.Range(kind, "", func(o *Object) bool {
		if want := state[o.Name]; want != nil && want.Revision == o.Revision && bytes.Equal(want.Value, o.Value) {
			n++
		}
		return true
	})
	if n != len(state) || view.Revision() != revision {
		return fmt.Errorf("%s at %d: the view has %d of %d objects", kind, revision, n, len(state))
	}
	seen, to, err := drain(cursor)
	if err != nil || to != p.f.Revision() {
		return fmt.Errorf("%s from %d: a watch came to %d of %d: %w", kind, revision, to, p.f.Revision(), err)
	}
	return sameEvents(seen, since)
}

// readLive opens a watch now and then, and reads some a little.
func (p *past) readLive() error {
	if chance(p.rnd, 10) {
		kind, after := v1alpha1.Kinds()[p.rnd.IntN(len(v1alpha1.Kinds()))], p.f.Revision()
		cursor, err := p.f.Watch(kind, after)
		if err != nil {
			return err
		}
		p.live = append(p.live, &liveWatch{kind: kind, cursor: cursor, after: after})
	}
	for i, w := range p.live {
		if !chance(p.rnd, 8) {
			continue
		}
		events, _, err := drain(w.cursor)
		if errors.Is(err, ErrCompacted) && p.f.Compacted(w.kind) > w.after {
			p.live = append(p.live[:i:i], p.live[i+1:]...) // it fell out: the next live list starts it anew
			return nil
		}
		if err != nil {
			return err
		}
		if err := sameEvents(events, filter(p.made, w.kind, w.after)); err != nil {
			return fmt.Errorf("a live watch from %d: %w", w.after, err)
		}
		w.after = max(w.after, p.f.Revision())
	}
	return nil
}

// restore goes on from the state of another replica that has one change more: a cursor that lived on would miss it.
func (p *past) restore() error {
	other := mustNew(p.f.config)
	if err := other.Restore(bytes.NewReader(save(p.f))); err != nil {
		return err
	}
	before := other.View()
	command := encode(p.command(before))
	other.Apply(p.f.AppliedIndex()+1, command)
	if err := p.f.Restore(bytes.NewReader(save(other))); err != nil {
		return err
	}
	p.note(before)
	for _, w := range p.live {
		if _, _, err := drain(w.cursor); !errors.Is(err, ErrCompacted) {
			return fmt.Errorf("a cursor goes on after a restore: %v", err)
		}
	}
	p.live = nil
	return nil
}

// drain reads a cursor to its end.
func drain(c *Cursor) ([]Event, uint64, error) {
	var all []Event
	tick := make(chan time.Time)
	close(tick)
	for {
		events, revision, err := c.Next(context.Background(), tick)
		if err != nil || len(events) == 0 {
			return all, revision, err
		}
		if last := events[len(events)-1].Revision; last > revision {
			return nil, 0, fmt.Errorf("changes up to %d come with revision %d", last, revision)
		}
		all = append(all, events...)
	}
}

func filter(events []Event, kind string, after uint64) []Event {
	var out []Event
	for _, e := range events {
		if e.Kind == kind && e.Revision > after {
			out = append(out, e)
		}
	}
	return out
}

func sameEvents(got, want []Event) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d changes were seen, %d made", len(got), len(want))
	}
	for i := range want {
		g, w := got[i], want[i]
		if g.Revision != w.Revision || g.Kind != w.Kind || g.Name != w.Name || !sameObject(g.Object, w.Object) ||
			!sameObject(g.Prev, w.Prev) || g.Deleted() != (w.Object == nil) {
			return fmt.Errorf("change %d was seen as %+v, made as %+v", i, g, w)
		}
	}
	return nil
}

func sameObject(a, b *Object) bool {
	return a == nil && b == nil ||
		a != nil && b != nil && a.Revision == b.Revision && a.Created == b.Created && bytes.Equal(a.Value, b.Value)
}
