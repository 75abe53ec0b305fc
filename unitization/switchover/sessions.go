package switchover

import "slices"

func (d *draft) openSession(e OpenSession) []Problem {
	session := e.Session
	have := d.Sessions[session.ID]
	switch {
	case have == nil && session.ID == "":
		return problem("session.id", "", "must not be empty")
	case have == nil && session.Holder != Relay && session.Holder != Agent:
		return problem("session.holder", session.Holder, "must be relay or agent")
	case have == nil:
		session.Closed = false
		d.Sessions = put(d.Sessions, session.ID, &session)
		return nil
	case have.Closed:
		return problem("session.id", session.ID, "is closed: open another session")
	case have.Holder != session.Holder || have.Name != session.Name || have.Cluster != session.Cluster ||
		have.Center != session.Center:
		return problem("session.id", session.ID, "is that of %s in center %s: an id is one process's", have.Name,
			have.Center)
	}
	return nil
}

func (d *draft) closeSession(e CloseSession) []Problem {
	have := d.Sessions[e.ID]
	if have == nil || have.Closed {
		return nil
	}
	closed := *have
	closed.Closed = true
	d.Sessions = put(d.Sessions, e.ID, &closed)
	return nil
}

// removeSession forgets a session whose last permit has ended. Nothing below it can admit a write any more, so nobody
// need wait for it.
func (d *draft) removeSession(e RemoveSession) []Problem {
	have := d.Sessions[e.ID]
	if have == nil {
		return nil
	}
	if !have.Closed {
		return problem("session.id", e.ID, "is open: close it, then wait for the end of its permits")
	}
	d.Sessions = without(d.Sessions, e.ID)
	for name := range sorted(d.Switchovers) {
		d.advance(name)
	}
	return nil
}

// Concerned are the sessions that a frozen switchover still waits for: relays in the centers of the cells that it
// leaves, which have not acknowledged the freeze. Sorted.
func (s State) Concerned(name string) []string {
	sw := s.Switchovers[name]
	if sw == nil || sw.Phase != PhaseFrozen {
		return nil
	}
	centers := s.leftCenters(sw)
	var concerned []string
	for id, session := range s.Sessions {
		if session.concerned(centers) && !sw.Acked[id] {
			concerned = append(concerned, id)
		}
	}
	slices.Sort(concerned)
	return concerned
}

// concerned says whether guards that ask this session's holder may have taken writes in the centers.
func (s *Session) concerned(centers map[string]bool) bool {
	return s.Holder == Relay && centers[s.Center]
}

// leftCenters are the centers of the cells that took writes until the switchover's freeze.
func (s State) leftCenters(sw *Switchover) map[string]bool {
	centers := map[string]bool{}
	for _, move := range sw.Plan.Moves {
		for _, cell := range move.Cells {
			centers[CellCenter(cell)] = true
		}
	}
	return centers
}
