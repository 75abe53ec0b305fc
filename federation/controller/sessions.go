package controller

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/unitization/switchover"
)

// sessions closes those of holders that are gone, and removes closed ones when their last permit has ended.
func (n *round) sessions() {
	for _, id := range slices.Sorted(maps.Keys(n.state.Sessions)) {
		session := n.state.Sessions[id]
		if !session.Closed {
			if why := n.gone(session); why != "" {
				n.propose(nil, fmt.Sprintf("session of %s: %s", session.Name, why), &intentpb.Command{
					Operation: &intentpb.Command_CloseSession{CloseSession: &intentpb.CloseSession{Id: id}},
				})
			}
			continue
		}
		if removesAtOnce || n.at(n.memory.waitedOut(n.memory.closed[id])) {
			n.propose(nil, fmt.Sprintf("session of %s: its permits have ended", session.Name), &intentpb.Command{
				Operation: &intentpb.Command_RemoveSession{RemoveSession: &intentpb.RemoveSession{Id: id, Term: n.heard.term}},
			})
		}
	}
}

// gone says why a session is to be closed; empty: it is not. To close too early is safe: the holder opens another session.
func (n *round) gone(session *switchover.Session) string {
	silence := n.unheardFor(session.ID)
	switch {
	case silence >= silentFor:
		return fmt.Sprintf("nothing was heard of it for %s", silence)
	case silence >= reachable && n.awaited(session):
		return fmt.Sprintf("nothing was heard of it for %s, and a planned switchover waits for it", silence)
	case silence >= reachable && n.successor(session):
		return "its holder has started again"
	}
	return ""
}

// unheardFor is for how long nobody had heard of a session when the servers were asked last. Before this term nobody was
// asked.
func (n *round) unheardFor(id string) time.Duration {
	if n.heard.sessions == nil {
		return 0
	}
	return n.heard.asked.Sub(n.memory.last[id])
}

// awaited says whether a planned switchover waits for a session, or is about to.
func (n *round) awaited(session *switchover.Session) bool {
	if session.Holder != switchover.Relay {
		return false
	}
	for _, o := range n.state.Switchovers {
		before := o.Phase == switchover.PhaseApproved || o.Phase == switchover.PhaseFrozen && !o.Acked[session.ID]
		if before && o.Mode != switchover.Disaster && leaves(o, session.Center) {
			return true
		}
	}
	return false
}

// successor says whether the holder asks under another session.
func (n *round) successor(session *switchover.Session) bool {
	for id, other := range n.state.Sessions {
		if id == session.ID || other.Holder != session.Holder || other.Name != session.Name || other.Closed {
			continue
		}
		if p, ok := n.heard.sessions[id]; ok && p.age < reachable {
			return true
		}
	}
	return false
}
