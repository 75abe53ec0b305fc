package guard

import (
	"time"

	"pentad.dev/pentad/unitization/permit"
)

// Kind is what an Event tells.
type Kind string

// The events of a Guard.
const (
	// Accepted: a write was let through.
	Accepted Kind = "Accepted"
	// Refused: a request was refused.
	Refused Kind = "Refused"
	// Opened and Closed: the guard takes writes for a range from now on, or no more. Reason says why it closed.
	Opened Kind = "Opened"
	Closed Kind = "Closed"
)

// The events of a Client.
const (
	// CallRefused: an attempt of a call was refused.
	CallRefused Kind = "CallRefused"
	// Readdressed: the call goes to the cell that the refusal named.
	Readdressed Kind = "Readdressed"
	// Retried: the call is tried again.
	Retried Kind = "Retried"
	// GivenUp: the call fails with the refusal.
	GivenUp Kind = "GivenUp"
)

// Event is what a guard, or a client, saw or decided.
type Event struct {
	Kind Kind
	// At is this process's time.
	At time.Time
	// Cell is the guard's own; of a client's the one that a refusal named.
	Cell        string
	Unitization string
	// Shard is the request's; From and To the range's of Opened and Closed.
	Shard, From, To int
	// Since is the range's; 0: not known.
	Since uint64
	// Method is the gRPC path, or the method and path of HTTP.
	Method string
	Reason Reason
	// Left is how long the permit held at the decision; less than 0 for a unit that keeps on without.
	Left time.Duration
}

// tell tells the observer of a decision on a write; reads that pass are not told of.
func (g *Guard) tell(d *Decision, method string) {
	if d.Reason != "" {
		g.refusals.add(d.Reason)
	}
	if g.cfg.Observer == nil || d.Read {
		return
	}
	e := Event{
		Kind: Accepted, At: time.Now(), Cell: d.Cell, Unitization: d.Unitization, Shard: d.Shard, Since: d.Since,
		Method: method,
		Left:   d.Left,
	}
	if d.Reason != "" {
		e.Kind, e.Reason, e.Cell = Refused, d.Reason, g.cfg.Cells[0]
	}
	g.cfg.Observer(e)
}

// door is a range that writes can come through.
type door struct {
	unitization, cell string
	from, to          int
	since             uint64
}

// tellDoors tells the observer what has opened and closed. Holders of mu call it.
func (g *Guard) tellDoors(now permit.Instant) {
	if g.cfg.Observer == nil {
		return
	}
	s := g.state.Load()
	open := map[door]bool{}
	for _, m := range s.all {
		for i := range m.spans {
			sp := &m.spans[i]
			d := door{m.unitization, sp.cell, sp.from, sp.to, sp.since}
			if sp.open && !s.draining && (m.keep || sp.term.left(now) > 0) {
				open[d] = true
			}
		}
	}
	for d := range g.doors {
		if !open[d] {
			g.tellClosed(s, d)
		}
	}
	for d := range open {
		if !g.doors[d] {
			g.cfg.Observer(Event{
				Kind: Opened, At: time.Now(), Cell: d.cell, Unitization: d.unitization, From: d.from, To: d.to, Since: d.since,
			})
		}
	}
	g.doors = open
}

// tellClosed tells of each part of a door that was open, under the since that closed it.
func (g *Guard) tellClosed(s *state, d door) {
	m := s.all[d.unitization]
	for i := range m.spans {
		sp := &m.spans[i]
		from, to := max(d.from, sp.from), min(d.to, sp.to)
		if from > to {
			continue
		}
		refused := Decision{Shard: from}
		g.refuse(&refused, s, sp)
		g.cfg.Observer(Event{
			Kind: Closed, At: time.Now(), Cell: d.cell, Unitization: d.unitization, From: from, To: to, Since: sp.since,
			Reason: refused.Reason,
		})
	}
}
