package feed

import (
	"slices"
	"time"
)

// chooser decides which feed is followed at which peer (rule 18): pure state. A feed has a first peer, its home before
// the others and then the nearest, and a second one while the copy stays behind what that peer announced.
type chooser struct {
	patience time.Duration
	broken   breakage
	want     func(ID) (Filter, bool)
	// ended is up to where a feed was removed from this process for good: no copy of that comes back. May be nil.
	ended func(ID) Position
	// order are the peers that may be followed, nearest first, by the numbers that their owner gave them.
	order []int
	peers map[int]*candidate
	feeds map[ID]*choice
}

// candidate is a connected peer as the chooser knows it.
type candidate struct{ offers map[ID]*offer }

// offer is what a peer announced of a feed.
type offer struct {
	position Position
	home     bool
	filter   Filter
	// delivered is how far its frames and heartbeats came, and heard when the last of them did.
	delivered Position
	heard     time.Duration
	// refused: the peer does not give the feed to us; a new announcement gives it another chance.
	refused bool
}

// choice is where a feed is followed; nobody is -1.
type choice struct {
	first, second int
	filter        Filter
	// target is an announced position that the copy has not reached since then.
	target Position
	since  time.Duration
	// opened is since when the first peer is first.
	opened time.Duration
	// caught is since when the first peer is not behind the copy; 0: it is.
	caught time.Duration
}

const nobody = -1

// step is what the follower must do at a peer: open the feed (again, if the filter is another) or shut it.
type step struct {
	peer   int
	id     ID
	open   bool
	filter Filter
}

// newChooser begins with peers 0 to n-1.
func newChooser(n int, patience time.Duration, want func(ID) (Filter, bool), broken breakage) *chooser {
	c := &chooser{patience: patience, broken: broken, want: want, peers: map[int]*candidate{}, feeds: map[ID]*choice{}}
	for peer := range n {
		c.order = append(c.order, peer)
	}
	return c
}

func (c *chooser) connect(peer int) {
	c.peers[peer] = &candidate{offers: map[ID]*offer{}}
}

// reorder says which peers there are, nearest first; disconnect those that are not among them any more.
func (c *chooser) reorder(order []int) { c.order = order }

// offers are what a connected peer offers.
func (c *chooser) offers(peer int) map[ID]*offer {
	if p := c.peers[peer]; p != nil {
		return p.offers
	}
	return nil
}

// disconnect forgets what the peer offered; decide its feeds again.
func (c *chooser) disconnect(peer int) []ID {
	delete(c.peers, peer)
	var ids []ID
	for id := range c.feeds {
		if c.shut(peer, id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// shut notes that a feed is not open at a peer any more; false: it was not. Decide it again.
func (c *chooser) shut(peer int, id ID) bool {
	f := c.feeds[id]
	if f == nil || f.first != peer && f.second != peer {
		return false
	}
	if f.first == peer {
		f.first = nobody
	}
	if f.second == peer {
		f.second = nobody
	}
	return true
}

func (c *chooser) announced(peer int, id ID, o *offer) {
	offers := c.offers(peer)
	if offers == nil {
		return
	}
	if old := offers[id]; old != nil {
		o.delivered, o.heard = old.delivered, old.heard
	}
	offers[id] = o
}

// gone notes that the peer does not offer the feed any more, or not to us.
func (c *chooser) gone(peer int, id ID) { delete(c.offers(peer), id) }

// lost notes that a feed is not open at a peer any more: the peer does not give it, or, if it was removed, the copy is
// gone and what the peer holds may be later. Decide it again.
func (c *chooser) lost(peer int, id ID, removed bool) {
	if removed {
		c.shut(peer, id)
	} else {
		c.refused(peer, id)
	}
}

func (c *chooser) refused(peer int, id ID) {
	if o := c.offers(peer)[id]; o != nil {
		o.refused = true
	}
}

// delivered notes how far a peer's frames and heartbeats of a feed came, and when the last came.
func (c *chooser) delivered(peer int, id ID, p Position, heard time.Duration) {
	o := c.offers(peer)[id]
	if o == nil {
		return
	}
	o.delivered, o.heard = p, heard
	if o.position.Before(p) {
		o.position = p
	}
}

// decide says what to do for a feed whose copy is at held.
func (c *chooser) decide(id ID, held Position, now time.Duration) []step {
	filter, wanted := c.want(id)
	f := c.feeds[id]
	if f == nil {
		if !wanted {
			return nil
		}
		f = &choice{first: nobody, second: nobody, filter: filter}
		c.feeds[id] = f
	}
	first, second := nobody, nobody
	if wanted {
		first = c.rank(id, filter)
		second = c.other(f, id, filter, first, held, now)
	} else {
		delete(c.feeds, id)
	}
	return c.move(f, id, filter, first, second, now)
}

// move makes the steps from where the feed is followed to where it should be.
func (c *chooser) move(f *choice, id ID, filter Filter, first, second int, now time.Duration) []step {
	var steps []step
	refilter := !f.filter.Equal(filter)
	for _, p := range []int{first, second} {
		if p != nobody && (refilter || p != f.first && p != f.second) {
			steps = append(steps, step{peer: p, id: id, open: true, filter: filter})
		}
	}
	for _, p := range []int{f.first, f.second} {
		if p != nobody && p != first && p != second {
			steps = append(steps, step{peer: p, id: id})
		}
	}
	if f.first != first {
		f.opened, f.caught = now, 0
	}
	f.first, f.second, f.filter = first, second, filter
	return steps
}

// offer returns what a connected peer offers that covers filter.
func (c *chooser) offer(peer int, id ID, filter Filter) *offer {
	o := c.offers(peer)[id]
	switch {
	case o == nil || o.refused || !o.filter.Covers(filter) && !c.broken.has(servesWider):
		return nil
	case c.ended != nil && !o.home && !c.ended(id).Before(o.position):
		return nil // the home's writer must hear up to where the feed was removed; nobody else has what may come back
	}
	return o
}

// rank returns the first peer for a feed.
func (c *chooser) rank(id ID, filter Filter) int {
	best := nobody
	for _, p := range c.order {
		o := c.offer(p, id, filter)
		if o != nil && o.home {
			return p
		}
		if o != nil && best == nobody {
			best = p
		}
	}
	return best
}

// other returns the second peer, once the copy stayed behind an announced position for as long as patience bears: the
// one that is furthest ahead; or once the first peer has said nothing of the feed for twice as long, though its
// stream lives. It stays until the first peer has kept up for as long as patience.
func (c *chooser) other(f *choice, id ID, filter Filter, first int, held Position, now time.Duration) int {
	if first == nobody || c.broken.has(noSecondStream) {
		return nobody
	}
	second := f.second
	if second == first || second != nobody && c.offer(second, id, filter) == nil {
		second = nobody
	}
	o := c.offer(first, id, filter)
	silent := first == f.first && now-max(o.heard, f.opened) >= 2*c.patience
	if second != nobody {
		switch kept := !silent && !o.delivered.Before(held); {
		case !kept:
			f.caught = 0
		case f.caught == 0:
			f.caught = now
		case now-f.caught >= c.patience:
			second = nobody
		}
	}
	ahead, position := c.ahead(id, filter, first, second)
	switch {
	case ahead == nobody:
		f.target = Position{}
	case silent && second == nobody && !position.Before(held):
		f.target, f.caught = Position{}, 0
		return ahead
	case !held.Before(position):
		f.target = Position{}
	case f.target.IsZero() || !held.Before(f.target):
		f.target, f.since = position, now
	case now-f.since >= c.patience:
		f.target, f.caught = Position{}, 0
		return ahead
	}
	return second
}

// ahead returns the peer that announced the most, of those at which the feed is not followed.
func (c *chooser) ahead(id ID, filter Filter, first, second int) (int, Position) {
	ahead, most := nobody, Position{}
	for _, p := range c.order {
		if o := c.offer(p, id, filter); p != first && p != second && o != nil && most.Before(o.position) {
			ahead, most = p, o.position
		}
	}
	return ahead, most
}
