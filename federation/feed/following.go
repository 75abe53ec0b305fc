package feed

import (
	"slices"

	"pentad.dev/pentad/federation/feed/feedpb"
)

// SetPeers says whom to follow from now on, nearest first, also while Run runs: streams to peers that stay, by name and
// address, go on, those to others end. The TLS of a peer that stays counts from its next connection on. A peer without
// a name or an address, or whose name is there already, is left out, which is logged as an error.
func (f *Follower) SetPeers(peers []Peer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var next, come []*followed
	var order []int
	for i, peer := range peers {
		if err := validatePeers("peers", append(peersOfFollowed(next), peer)); err != nil {
			f.cfg.Log.Error("peer left out", "index", i, "peer", peer.Name, "address", peer.Address, "error", err)
			continue
		}
		at := slices.IndexFunc(f.peers, func(p *followed) bool { return p.peer.same(peer) })
		if at < 0 {
			come = append(come, &followed{number: f.numbers, peer: peer})
			next = append(next, come[len(come)-1])
			f.numbers++
		} else {
			f.peers[at].peer.TLS = peer.TLS
			next = append(next, f.peers[at])
		}
		order = append(order, next[len(next)-1].number)
	}
	gone := slices.DeleteFunc(f.peers, func(p *followed) bool { return slices.Contains(next, p) })
	f.peers = next
	f.chooser.reorder(order)
	for _, p := range gone {
		f.cfg.Log.Info("peer is not followed any more", "peer", p.peer.Name, "address", p.peer.Address)
		p.removed = true
		if p.stop != nil {
			p.stop()
		}
		f.part(p)
	}
	if f.running != nil {
		for _, p := range come {
			f.running(p)
		}
	}
	for id := range f.offered() {
		f.decide(id) // the order may have changed
	}
	f.shuffle()
}

func peersOfFollowed(fs []*followed) []Peer {
	peers := make([]Peer, 0, len(fs)+1)
	for _, p := range fs {
		peers = append(peers, p.peer)
	}
	return peers
}

// heard takes in what a peer announced; the first message, whatever it is, connects it.
func (f *Follower) heard(p *followed, half *receiver, as []*feedpb.Announcement, lost []ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.removed {
		return
	}
	if p.half == nil {
		p.half, p.connected, p.err = half, true, nil
		f.chooser.connect(p.number)
		f.shuffle()
		f.cfg.Log.Info("following", "peer", p.peer.Name)
	}
	for _, a := range as {
		id := ID(a.GetFeed())
		if a.GetGone() {
			f.chooser.gone(p.number, id)
		} else {
			f.chooser.announced(p.number, id, &offer{
				position: positionOf(a.GetPosition()), home: a.GetHome(), filter: filterOf(a.GetFilter()),
			})
		}
		f.decide(id)
	}
	f.lose(p, lost)
}

// lose notes the feeds that a peer does not give, or of which the copy was removed.
func (f *Follower) lose(p *followed, lost []ID) {
	for _, id := range lost {
		f.chooser.lost(p.number, id, p.half.removed(id))
		f.decide(id)
	}
}

// disconnect notes that a peer's stream has ended.
func (f *Follower) disconnect(p *followed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.connected {
		f.part(p)
		f.shuffle()
	}
}

// part gives up what was followed at a peer. f.mu is held.
func (f *Follower) part(p *followed) {
	p.half, p.connected = nil, false
	for _, id := range f.chooser.disconnect(p.number) {
		f.decide(id)
	}
}

// peer returns the peer with a number; nil: it is gone.
func (f *Follower) peer(number int) *followed {
	for _, p := range f.peers {
		if p.number == number {
			return p
		}
	}
	return nil
}

// offered are the feeds that any peer offers.
func (f *Follower) offered() map[ID]bool {
	ids := map[ID]bool{}
	for _, p := range f.peers {
		for id := range f.chooser.offers(p.number) {
			ids[id] = true
		}
	}
	return ids
}

// decide opens and shuts a feed at the peers as the chooser says.
func (f *Follower) decide(id ID) {
	if !id.nameable() {
		return
	}
	var held Position
	if l, ok := f.cfg.Set.Get(id); ok {
		if l.Writing() {
			return
		}
		held = l.Position()
	}
	for _, s := range f.chooser.decide(id, held, f.cfg.Set.opts.Now()) {
		p := f.peer(s.peer)
		if p == nil || p.half == nil {
			continue
		}
		half := p.half
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
	for _, p := range f.peers {
		if p.half == nil {
			continue
		}
		p.half.mu.Lock()
		for id, in := range p.half.feeds {
			f.chooser.delivered(p.number, id, in.theirs, in.heard)
		}
		lost := p.half.lost
		p.half.lost = nil
		p.half.mu.Unlock()
		f.lose(p, lost)
	}
	for id := range f.offered() {
		f.decide(id)
	}
}

// Status is the state of the connections, nearest peer first.
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
		for id, o := range f.chooser.offers(p.number) {
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
