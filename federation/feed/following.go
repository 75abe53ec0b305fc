package feed

import (
	"slices"

	"pentad.dev/pentad/federation/feed/feedpb"
)

// heard takes in what a peer announced; the first message, whatever it is, connects it.
func (f *Follower) heard(i int, half *receiver, as []*feedpb.Announcement, lost []ID) {
	p := f.peers[i]
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.half == nil {
		p.half, p.connected, p.err = half, true, nil
		f.chooser.connect(i)
		f.shuffle()
		f.cfg.Log.Info("following", "peer", p.peer.Name)
	}
	for _, a := range as {
		id := ID(a.GetFeed())
		if a.GetGone() {
			f.chooser.gone(i, id)
		} else {
			f.chooser.announced(i, id, &offer{
				position: positionOf(a.GetPosition()), home: a.GetHome(), filter: filterOf(a.GetFilter()),
			})
		}
		f.decide(id)
	}
	for _, id := range lost {
		f.chooser.refused(i, id)
		f.decide(id)
	}
}

func (f *Follower) disconnect(i int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.peers[i]
	if !p.connected {
		return
	}
	p.half, p.connected = nil, false
	for _, id := range f.chooser.disconnect(i) {
		f.decide(id)
	}
	f.shuffle()
}

// decide opens and shuts a feed at the peers as the chooser says.
func (f *Follower) decide(id ID) {
	var held Position
	if l, ok := f.cfg.Set.Get(id); ok {
		if l.Writing() {
			return
		}
		held = l.Position()
	}
	for _, s := range f.chooser.decide(id, held, f.cfg.Set.opts.Now()) {
		half := f.peers[s.peer].half
		if half == nil {
			continue
		}
		half.mu.Lock()
		if s.open {
			half.open(id, s.filter)
		} else {
			half.shut(id)
		}
		half.mu.Unlock()
		half.inbox.signal()
	}
}

// Reconsider asks Want again for every feed, after its answers changed.
func (f *Follower) Reconsider() {
	f.mu.Lock()
	defer f.mu.Unlock()
	ids := map[ID]bool{}
	for i, p := range f.peers {
		if p.half == nil {
			continue
		}
		p.half.mu.Lock()
		for id, in := range p.half.feeds {
			f.chooser.delivered(i, id, in.theirs, in.heard)
		}
		p.half.mu.Unlock()
		for id := range f.chooser.peers[i].offers {
			ids[id] = true
		}
	}
	for id := range ids {
		f.decide(id)
	}
}

// Status is the state of the connections, in the order of the configured peers.
func (f *Follower) Status() []PeerStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]PeerStatus, len(f.peers))
	for i, p := range f.peers {
		out[i] = PeerStatus{Name: p.peer.Name, Address: p.peer.Address, Connected: p.connected, Active: p.connected}
		if p.err != nil {
			out[i].Error = p.err.Error()
		}
		if p.half == nil {
			continue
		}
		p.half.mu.Lock()
		for id, o := range f.chooser.peers[i].offers {
			pf := PeerFeed{ID: id, Position: o.position, Home: o.home}
			if in := p.half.feeds[id]; in != nil {
				pf.Open, pf.Refused, pf.Rejected = in.stream != 0, in.absent, in.rejected
			}
			out[i].Feeds = append(out[i].Feeds, pf)
		}
		p.half.mu.Unlock()
		slices.SortFunc(out[i].Feeds, func(a, b PeerFeed) int { return compareIDs(a.ID, b.ID) })
	}
	return out
}
