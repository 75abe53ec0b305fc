package sim

import (
	"time"
)

// delay is how long a segment takes. Holders of mu call it.
func (n *network) delay(from, to string) time.Duration {
	d := betweenRegions
	switch {
	case from == to:
		d = withinCenter
	case n.regions[from] == n.regions[to]:
		d = withinRegion
	}
	p := n.lossy[[2]string{from, to}]
	for again := retransmit; p > 0 && again <= retransmitMost && n.rnd.Float64() < p; again *= 2 {
		d += again
		n.lost++
	}
	return d
}

// lose makes a share of the segments on a path late, and breaks a connection now and then.
func (n *network) lose(from, to string, share float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lossy[[2]string{from, to}] = share; share == 0 {
		delete(n.lossy, [2]string{from, to})
	}
}
