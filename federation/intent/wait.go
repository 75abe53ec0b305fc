package intent

import "context"

// WaitRevision waits until this replica has reached a revision, or for the context's error.
func (f *FSM) WaitRevision(ctx context.Context, revision uint64) error {
	return f.wait(ctx, func(s *state) bool { return s.revision >= revision })
}

// WaitIndex waits until the command at a Raft index has been applied, or for the context's error. The index must be a
// command's: other entries of the log never get here.
func (f *FSM) WaitIndex(ctx context.Context, index uint64) error {
	return f.wait(ctx, func(s *state) bool { return s.applied >= index })
}

func (f *FSM) wait(ctx context.Context, reached func(*state) bool) error {
	for {
		f.mu.RLock()
		done, wake := reached(&f.state), f.wake
		f.mu.RUnlock()
		if done {
			return nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// news wakes who waits. The lock is held.
func (f *FSM) news() {
	close(f.wake)
	f.wake = make(chan struct{})
}
