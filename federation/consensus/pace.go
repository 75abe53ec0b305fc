package consensus

import "time"

const (
	// near is how fast a member has answered at least once that is near.
	near = 3 * time.Millisecond
	// nearInFlight is how many messages may be under way to it: what waits meanwhile goes into one message, and one sync.
	nearInFlight = 2
)

// pace returns when there is room for another message to a member that is near: at once to one that is far, where the
// way and not the member's disk is what takes time, and after near in any case.
func (p *pipeline) pace() {
	late := time.NewTimer(near)
	defer late.Stop()
	for p.busy() {
		select {
		case <-p.room:
		case <-late.C:
			return
		case <-p.closed:
			return
		}
	}
}

func (p *pipeline) busy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.numbers) >= nearInFlight && p.fastest > 0 && p.fastest < near
}

// took notes how long a message took, and that there is room for another one; mu is held.
func (p *pipeline) took(d time.Duration) {
	if p.fastest == 0 || d < p.fastest {
		p.fastest = d
	}
	select {
	case p.room <- struct{}{}:
	default:
	}
}
