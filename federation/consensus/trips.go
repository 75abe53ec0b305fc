package consensus

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// tripsUnderWay is how many trips to one leader there may be at a time. To one that is near there is mostly one: a trip
// begins when there is none under way, or near after the one before it.
const tripsUnderWay = 16

// trips are the questions of reads through this node to the leader, which of its answers they must see. Reads that wait
// share one (Ongaro's dissertation, 6.4): a read joins the trip that begins next, never one under way, whose answer may
// be older than the read.
type trips struct {
	mu     sync.Mutex
	to     map[string]*road // by leader
	plants *plants
}

// road is the trips to one leader. One that does not answer any more holds up nobody who asks another one.
type road struct {
	underWay int
	began    time.Time // when the last one began
	timed    bool      // a timer looks whether the next one may begin
	next     *trip     // has not begun; nil while nobody waits for it
	last     *trip     // the last that began; looked at by a plant only
}

// trip is one question for all who wait for it.
type trip struct {
	road    *road
	ask     func(context.Context) (uint64, error)
	ctx     context.Context
	cancel  context.CancelFunc
	waiting int           // who has not left
	ended   chan struct{} // closed behind what follows
	answer  uint64
	err     error
}

func newTrips(p *plants) *trips { return &trips{to: map[string]*road{}, plants: p} }

// ReadThrough returns what one call of ask, which began after this one did, was answered by the leader: the index or
// revision that a linearizable read here must wait for. Reads through this node that wait at the same time share calls;
// so ask must be the same question whoever asks it of that leader, and end with its context.
func (n *Node) ReadThrough(ctx context.Context, leader string, ask func(context.Context) (uint64, error)) (uint64, error) {
	t := n.trips.join(ctx, leader, ask)
	select {
	case <-t.ended:
		return t.answer, t.err
	case <-ctx.Done():
		n.trips.leave(t)
		return 0, fmt.Errorf("read through %s: %s did not answer in time: %w", n.cfg.ID, leader, ctx.Err())
	}
}

// join waits for the next trip to a leader, which begins at once if it may.
func (s *trips) join(ctx context.Context, leader string, ask func(context.Context) (uint64, error)) *trip {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.to[leader]
	if r == nil {
		r = &road{}
		s.to[leader] = r
	}
	if s.plants.joinTripUnderWay && r.underWay > 0 {
		r.last.waiting++
		return r.last
	}
	if r.next == nil {
		t := &trip{road: r, ask: ask, ended: make(chan struct{})}
		// Who waits may leave before the others: the trip ends with the last one.
		t.ctx, t.cancel = context.WithCancel(context.WithoutCancel(ctx))
		r.next = t
	}
	t := r.next
	t.waiting++
	s.begin(leader, r)
	return t
}

// begin begins the trip that waits, if it may; mu is held.
func (s *trips) begin(leader string, r *road) {
	t := r.next
	switch late := near - time.Since(r.began); {
	case t == nil || r.underWay == tripsUnderWay:
		return
	case r.underWay > 0 && late > 0:
		if !r.timed {
			r.timed = true
			time.AfterFunc(late, func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				r.timed = false
				s.begin(leader, r)
			})
		}
		return
	}
	r.next, r.last, r.began = nil, t, time.Now()
	r.underWay++
	go func() { // ends with ask
		answer, err := t.ask(t.ctx)
		t.cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		t.answer, t.err = answer, err
		close(t.ended)
		r.underWay--
		s.begin(leader, r)
		if r.underWay == 0 {
			delete(s.to, leader)
		}
	}()
}

// leave is for who does not wait any longer.
func (s *trips) leave(t *trip) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.waiting--; t.waiting > 0 {
		return
	}
	t.cancel()
	if t.road.next == t {
		t.road.next = nil // nobody waits for it
	}
}
