package feed

import (
	"sync"
	"time"

	"pentad.dev/pentad/federation/feed/feedpb"
)

// exchange drives the sending half over a stream.
func (s *sender) exchange(
	recv func() (*feedpb.ReceiverMessage, error), send func(*feedpb.SenderMessage) error, heartbeat time.Duration,
) *exchange[*feedpb.ReceiverMessage, *feedpb.SenderMessage] {
	var mu sync.Mutex
	return &exchange[*feedpb.ReceiverMessage, *feedpb.SenderMessage]{
		recv: recv, send: send, heartbeat: heartbeat, wake: s.inbox.wake,
		handle: func(m *feedpb.ReceiverMessage) error {
			mu.Lock()
			defer mu.Unlock()
			defer s.inbox.signal()
			return s.handle(m)
		},
		next: func() (*feedpb.SenderMessage, bool) {
			mu.Lock()
			defer mu.Unlock()
			m := s.next()
			return m, m != nil
		},
		beat: func() {
			mu.Lock()
			defer mu.Unlock()
			s.tick()
		},
		tick: func() time.Duration { return 0 },
	}
}

// exchange drives the receiving half over a stream; after each message the shell hears what was announced and which
// feeds were lost, without the half's lock.
func (r *receiver) exchange(
	recv func() (*feedpb.SenderMessage, error), send func(*feedpb.ReceiverMessage) error, heartbeat time.Duration,
	after func(announced []*feedpb.Announcement, lost []ID),
) *exchange[*feedpb.SenderMessage, *feedpb.ReceiverMessage] {
	return &exchange[*feedpb.SenderMessage, *feedpb.ReceiverMessage]{
		recv: recv, send: send, heartbeat: heartbeat, wake: r.inbox.wake,
		handle: func(m *feedpb.SenderMessage) error {
			r.mu.Lock()
			as, err := r.handle(m)
			lost := r.lost
			r.lost = nil
			r.mu.Unlock()
			after(as, lost)
			r.inbox.signal()
			return err
		},
		next: func() (*feedpb.ReceiverMessage, bool) {
			r.mu.Lock()
			defer r.mu.Unlock()
			m := r.next()
			return m, m != nil
		},
		beat: func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.beat()
		},
		tick: func() time.Duration {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.tick()
		},
	}
}
