package consensus

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// contacts is what this node, as leader, knows of each other member: whether messages reach it, when it last answered,
// and what it holds.
//
// Raft doubles its wait after each replication that fails, up to 10 s, so a member that comes back after a while would
// be left alone for that long. Here replication to a member that cannot be reached waits for a heartbeat that can:
// those are sent at least every half heartbeat timeout, and raft counts one failure instead of ten.
type contacts struct {
	mu    sync.Mutex
	peers map[raft.ServerID]*contact
}

type contact struct {
	heard   time.Time     // zero: never
	term    uint64        // of what follows
	down    bool          // the last message of this term failed
	match   uint64        // the member's log is this node's up to here, at least
	changed chan struct{} // closed at the end of the next message; nil while nobody waits
}

func newContacts() *contacts { return &contacts{peers: map[raft.ServerID]*contact{}} }

// of returns a member's contact in that term, nil if the term is over; mu is held.
func (c *contacts) of(id raft.ServerID, term uint64) *contact {
	p := c.peers[id]
	if p == nil {
		p = &contact{}
		c.peers[id] = p
	}
	switch {
	case term < p.term:
		return nil
	case term > p.term:
		p.term, p.down, p.match = term, false, 0
	}
	return p
}

// wake lets go who waits for the end of a message; mu is held.
func (p *contact) wake() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// failed says that a message of that term did not reach the member, or its answer did not come back.
func (c *contacts) failed(id raft.ServerID, term uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.of(id, term); p != nil {
		p.down = true
		p.wake()
	}
}

// answered says that the member answered a message of that term, and up to where its log is known to be this node's;
// 0 if the message did not tell.
func (c *contacts) answered(id raft.ServerID, term, match uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.of(id, term)
	if p == nil {
		return
	}
	p.heard, p.down, p.match = time.Now(), false, max(p.match, match)
	p.wake()
}

// await returns when a message of that term may be sent to a member: at once while it can be reached, else after the
// next message that reached it. It also returns when waiting has become useless, which is asked after each message and
// each interval, and when closed is.
func (c *contacts) await(id raft.ServerID, term uint64, useless func() bool, interval time.Duration,
	closed <-chan struct{}) {
	for {
		c.mu.Lock()
		p := c.of(id, term)
		if p == nil || !p.down {
			c.mu.Unlock()
			return
		}
		if p.changed == nil {
			p.changed = make(chan struct{})
		}
		changed := p.changed
		c.mu.Unlock()
		if useless() {
			return
		}
		select {
		case <-changed:
		case <-time.After(interval):
		case <-closed:
			return
		}
	}
}

// state returns when the member last answered, zero for never, and what it held then in that term.
func (c *contacts) state(id raft.ServerID, term uint64) (heard time.Time, match uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.peers[id]
	if p == nil {
		return time.Time{}, 0
	}
	if p.term != term {
		return p.heard, 0
	}
	return p.heard, p.match
}
