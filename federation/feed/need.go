package feed

import (
	"context"
	"errors"
)

// errNotNeeded ends a stream to a peer because enough nearer ones are connected.
var errNotNeeded = errors.New("enough nearer peers are connected")

// needed says whether a peer is among the nearest that the follower should be connected to. f.mu is held.
func (f *Follower) needed(p *followed) bool {
	connected := 0
	for _, nearer := range f.peers {
		if nearer == p {
			break
		}
		if nearer.connected {
			connected++
		}
	}
	return f.cfg.Connections == 0 || connected < f.cfg.Connections
}

// shuffle makes all peers look again whether they are needed. f.mu is held.
func (f *Follower) shuffle() {
	close(f.shuffled)
	f.shuffled = make(chan struct{})
}

// awaitNeed returns true when the peer is needed, false when ctx ends.
func (f *Follower) awaitNeed(ctx context.Context, p *followed) bool {
	for {
		f.mu.Lock()
		needed, shuffled := f.needed(p), f.shuffled
		f.mu.Unlock()
		if needed {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-shuffled:
		}
	}
}

// awaitNoNeed cancels when the peer is not needed any more.
func (f *Follower) awaitNoNeed(ctx context.Context, p *followed, cancel context.CancelCauseFunc) {
	for {
		f.mu.Lock()
		needed, shuffled := f.needed(p), f.shuffled
		f.mu.Unlock()
		if !needed {
			cancel(errNotNeeded)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-shuffled:
		}
	}
}
