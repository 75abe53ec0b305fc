package sim

import (
	"math/rand/v2"
	"testing"
	"time"
)

// What a segment takes from one host to another, at best.
const (
	withinHost   = 200 * time.Microsecond
	withinRegion = time.Millisecond
	// betweenRegions is one way.
	betweenRegions = 15 * time.Millisecond
)

const (
	// retransmit is what a lost segment costs; what is sent again may be lost again, and then waits for twice as long.
	retransmit     = 200 * time.Millisecond
	retransmitMost = 8 * retransmit
	// wanderEvery is for how long a connection has one delay, wanderMost how often the best it is at most.
	wanderEvery = 200 * time.Millisecond
	wanderMost  = 5
	// slowest is what a slow phase of a path adds at most, one way.
	slowest = 400 * time.Millisecond
)

// delay is how long a segment of a connection takes: what the path takes, what its slow phase adds, and what it costs
// that it is lost. Holders of mu call it.
func (n *network) delay(from, to string, wander float64) time.Duration {
	best := betweenRegions
	a, b := n.regions[from], n.regions[to]
	switch {
	case from == to:
		best = withinHost
	case a == b:
		best = withinRegion
	}
	d := best + time.Duration(float64(best)*(wanderMost-1)*wander)
	if len(n.slow) > 0 && from != to {
		d += time.Duration(float64(n.slow[[2]string{a, b}]) * (1 + wander) / 2)
	}
	if len(n.lossy) == 0 {
		return d
	}
	p := n.lossy[[2]string{from, to}]
	for again := retransmit; p > 0 && again <= retransmitMost && n.rnd.Float64() < p; again *= 2 {
		d += again
		n.lost++
	}
	return d
}

// wander is how far a connection's delay is from the best, from 0 to 1: mostly little, seldom much. It follows from the
// seed, the connection and the time, whoever asks when; connections of one path differ, so what is sent later on one may
// arrive earlier than what is on another.
func (h *half) wander(now time.Time) float64 {
	var of rand.PCG
	of.Seed(h.number, uint64(now.UnixNano()/int64(wanderEvery)))
	u := float64(of.Uint64()>>11) / (1 << 53)
	return u * u * u * u
}

// numbered gives a direction of a connection a number of its own: the seed's, the path's, and how many the path has had.
// Holders of mu call it.
func (n *network) numbered(h *half) *half {
	path := [2]string{h.from, h.to}
	n.made[path]++
	h.number = n.seed ^ sum([]byte(h.from+">"+h.to)) + n.made[path]
	return h
}

// lose makes a share of the segments on a path late.
func (n *network) lose(from, to string, share float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lossy[[2]string{from, to}] = share; share == 0 {
		delete(n.lossy, [2]string{from, to})
	}
}

// slowDown has all that goes from one region to another, or within one, take up to so much longer, until it is ended.
// Of two slow phases at once the one that began later counts.
func (n *network) slowDown(from, to string, most time.Duration) (end func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	path := [2]string{from, to}
	n.slow[path] = most
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.slow[path] == most {
			delete(n.slow, path)
		}
	}
}

// Delays follow from the seed, stay within their bounds, and differ between two connections of one path by enough for what
// is sent later to arrive earlier.
func TestDelays(t *testing.T) {
	between := func(seed uint64, connections int) (n *network, h *half) {
		n = newNetwork(seed)
		n.regions["a"], n.regions["b"] = "one", "other"
		for range connections {
			h = n.numbered(newHalf(n, "a", "b"))
		}
		return n, h
	}
	n, first := between(1, 1)
	_, again := between(1, 1)
	_, second := between(1, 2)
	_, other := between(2, 1)
	differs, overtaken, least, most := false, false, time.Hour, time.Duration(0)
	for i := range 1000 {
		at := time.Unix(0, int64(i)*int64(wanderEvery))
		d := n.delay("a", "b", first.wander(at))
		least, most = min(least, d), max(most, d)
		if first.wander(at) != again.wander(at) {
			t.Fatal("the same connection of the same seed has another delay at the same time")
		}
		differs = differs || first.wander(at) != other.wander(at)
		overtaken = overtaken || d > n.delay("a", "b", second.wander(at))+betweenRegions
	}
	if !differs || !overtaken {
		t.Errorf("another seed has other delays: %t, a connection overtakes another one: %t", differs, overtaken)
	}
	if least < betweenRegions || most > wanderMost*betweenRegions || most < 2*betweenRegions {
		t.Errorf("delays are from %s to %s", least, most)
	}
	end := n.slowDown("one", "other", slowest)
	if d := n.delay("a", "b", 0); d != betweenRegions+slowest/2 {
		t.Errorf("in a slow phase a segment takes %s", d)
	}
	if d := n.delay("b", "a", 0); d != betweenRegions {
		t.Errorf("in the other direction a segment takes %s", d)
	}
	end()
	if d := n.delay("a", "b", 0); d != betweenRegions {
		t.Errorf("after a slow phase a segment takes %s", d)
	}
}
