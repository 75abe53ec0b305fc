package stream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
)

const (
	// patienceLeast and patienceMost are how long to stay with a peer that holds nothing itself: twice as long each
	// time.
	patienceLeast = 500 * time.Millisecond
	patienceMost  = 5 * time.Second
	// soonest is how often to ask at most for a permit that is about to end: its giver has no more to give.
	soonest = 100 * time.Millisecond
)

// reached is a more preferred peer that has given a permit.
type reached struct {
	link   *link
	permit *permit.Permit
}

// service is one link while it is the one that is asked. Its timers run from the ask.
type service struct {
	c    *Client
	link *link
	// due is when to ask again, late when an answer is overdue, empty when to give up a peer that holds nothing.
	due, late, empty *time.Timer
	// wanted says that something has come up since the ask that is under way.
	wanted bool
	// without says that the last answer gave no right.
	without bool
}

// serve asks over a link until it breaks (an error), ctx ends (neither), or a more preferred peer has given a permit.
// The link is closed in any case.
func (c *Client) serve(ctx context.Context, l *link, p *permit.Permit) (*reached, error) {
	defer l.close()
	s := &service{c: c, link: l, due: idle(), late: idle(), empty: idle()}
	defer func() { s.due.Stop(); s.late.Stop(); s.empty.Stop() }()
	trial := c.tryNearer(ctx, l.index)
	defer trial.stop()
	s.took(p)
	for {
		if err := s.askIfWanted(); err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			c.leave(l)
			return nil, nil
		case r := <-trial.found:
			return r, nil
		case <-l.ended:
			return nil, l.err
		case m := <-l.in:
			if err := s.heard(m); err != nil {
				return nil, err
			}
		case <-c.kick:
			s.wanted = true
		case <-c.wakes:
			s.wanted = true
		case <-s.due.C:
			s.wanted = true
		case <-s.late.C:
			return nil, fmt.Errorf("%w: from %s", errSilent, c.cfg.Peers[l.index].Name)
		case <-s.empty.C:
			if len(c.cfg.Peers) > 1 {
				return nil, errEmpty
			}
		}
	}
}

// askIfWanted asks unless an ask is under way: then what came up is asked for afterwards.
func (s *service) askIfWanted() error {
	if _, waiting := s.link.asker.Waiting(); waiting || !s.wanted {
		return nil
	}
	s.wanted = false
	s.late.Reset(s.timeout())
	return s.c.ask(s.link, false)
}

func (s *service) heard(m *permitpb.HoldResponse) error {
	switch {
	case m.GetHint() != nil:
		s.wanted = true
	case m.GetAnswer() != nil:
		p, err := s.link.asker.Take(m.GetAnswer(), s.link.clock.Now())
		if err != nil {
			return err
		}
		s.late.Stop()
		s.took(p)
	default:
		return fmt.Errorf("%w: a message that is neither answer nor hint", permit.ErrMalformed)
	}
	return nil
}

// took hands an answer on and says when to ask again: at once when the holder can acknowledge something that the peer
// does not know of.
func (s *service) took(p *permit.Permit) {
	s.c.take(s.link, p)
	if p.Holds > 0 {
		s.without = false
		s.empty.Stop()
	} else if !s.without {
		s.without = true
		s.c.patient = min(max(2*s.c.patient, patienceLeast), patienceMost)
		s.empty.Reset(s.c.patient)
	}
	every := s.c.cfg.Every
	if p.Holds > 0 {
		every = min(every, max(p.Holds/4, soonest))
	}
	asked, _ := s.link.asker.Waiting()
	s.due.Reset(max(0, every-s.link.clock.Now().Sub(asked)))
	s.wanted = s.wanted || s.link.untold(s.c.cfg.Holder.Closed())
}

// timeout is how long this answer may take: two tries at other peers must fit into what a permit holds.
func (s *service) timeout() time.Duration {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.c.last == nil || s.c.last.Holds <= 0 {
		return s.c.cfg.Timeout
	}
	return min(s.c.cfg.Timeout, max(s.c.last.Holds/3, 50*time.Millisecond))
}

// trial looks for a more preferred peer beside the one that is asked.
type trial struct {
	found  chan *reached
	cancel context.CancelFunc
	done   chan struct{}
}

// tryNearer tries the peers before i, in order, each time that Return has passed, until one gives a permit.
func (c *Client) tryNearer(ctx context.Context, i int) *trial {
	ctx, cancel := context.WithCancel(ctx)
	t := &trial{found: make(chan *reached), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(t.done)
		for i > 0 {
			pause := time.NewTimer(c.cfg.Return/2 + rand.N(c.cfg.Return))
			select {
			case <-ctx.Done():
				pause.Stop()
				return
			case <-pause.C:
			}
			if c.tryOnce(ctx, t, i) {
				return
			}
		}
	}()
	return t
}

func (c *Client) tryOnce(ctx context.Context, t *trial, i int) (found bool) {
	for j := range i {
		l, p, err := c.connect(ctx, j)
		if err != nil {
			continue
		}
		if p.Holds > 0 {
			select {
			case t.found <- &reached{l, p}:
				return true
			case <-ctx.Done():
			}
		}
		l.close()
	}
	return false
}

// stop ends the trial and waits for its end.
func (t *trial) stop() {
	t.cancel()
	<-t.done
}

// idle is a timer that is not running.
func idle() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}
