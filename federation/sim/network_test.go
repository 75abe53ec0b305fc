package sim

import (
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"
)

// network connects processes by streams that behave as TCP does: bytes arrive in order or not at all. What a real
// network loses shows as a stall, and after a long one as a connection that breaks.
type network struct {
	seed      uint64
	mu        sync.Mutex
	rnd       *rand.Rand
	regions   map[string]string // of hosts
	listeners map[string]*listener
	cuts      map[[2]string]int // from, to: how many cuts are in force
	paused    map[string]int
	down      map[string]bool // hosts without power
	lossy     map[[2]string]float64
	slow      map[[2]string]time.Duration // from, to: regions whose path has a slow phase
	made      map[[2]string]uint64        // from, to: how many directions of connections there have been
	halves    map[*half]struct{}
	changed   chan struct{} // closed when a path opens
	dials     int
	breaks    int
	lost      int
}

func newNetwork(seed uint64) *network {
	return &network{
		seed: seed, rnd: rand.New(rand.NewPCG(seed, 11)), regions: map[string]string{}, listeners: map[string]*listener{},
		cuts: map[[2]string]int{}, paused: map[string]int{}, down: map[string]bool{}, lossy: map[[2]string]float64{}, halves: map[*half]struct{}{},
		slow: map[[2]string]time.Duration{}, made: map[[2]string]uint64{}, changed: make(chan struct{}),
	}
}

// inFlightMost is what a connection takes before its writer waits.
const inFlightMost = 256 << 10

func (n *network) add(host, region string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.regions[host] = region
}

// blocked says whether nothing moves from one to the other. Holders of mu call it.
func (n *network) blocked(from, to string) bool {
	return n.cuts[[2]string{from, to}] > 0 || n.paused[from] > 0 || n.paused[to] > 0 || n.down[to]
}

// cut stops all that goes from one host to the other, in this direction, until it is healed.
func (n *network) cut(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts[[2]string{from, to}]++
}

func (n *network) heal(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if key := [2]string{from, to}; n.cuts[key] > 0 {
		n.cuts[key]--
	}
	n.opened(0.3)
}

// pause stops all that goes to a host and comes from it.
func (n *network) pause(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.paused[host]++
}

func (n *network) resume(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.paused[host]--
	n.opened(0)
}

// opened moves on what was blocked and is not any more; a share of the connections breaks instead. Holders of mu call it.
func (n *network) opened(breaks float64) {
	close(n.changed)
	n.changed = make(chan struct{})
	for h := range n.halves {
		if !h.stalled || n.blocked(h.from, h.to) {
			continue
		}
		h.stalled = false
		if n.rnd.Float64() < breaks {
			n.breaks++
			h.fail(errReset)
			h.back.fail(errReset)
			continue
		}
		h.arm(time.Duration(n.rnd.Int64N(int64(retransmit))))
	}
}

// endpoint is one life of a process on a host, as the network knows it.
type endpoint struct {
	net   *network
	host  string
	mu    sync.Mutex
	dead  bool
	conns map[*conn]struct{}
	died  chan struct{}
}

// endpoint begins a life on a host, which has power again if it had none.
func (n *network) endpoint(host string) *endpoint {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down[host] {
		delete(n.down, host)
		n.opened(0)
	}
	return &endpoint{net: n, host: host, conns: map[*conn]struct{}{}, died: make(chan struct{})}
}

// kill ends a process's connections. The others hear of it, unless it goes silently, as a machine without power does:
// they find out when they look for an answer.
func (p *endpoint) kill(silently bool) {
	p.mu.Lock()
	if p.dead {
		p.mu.Unlock()
		return
	}
	p.dead = true
	close(p.died)
	conns := p.conns
	p.conns = nil
	p.mu.Unlock()
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	for address, l := range p.net.listeners {
		if l.endpoint == p {
			delete(p.net.listeners, address)
			l.shut()
		}
	}
	p.net.down[p.host] = silently
	for c := range conns {
		c.in.deaf(errKilled)
		if silently {
			c.out.ended = true
			c.out.cond.Broadcast()
			continue
		}
		c.out.end(errReset)
	}
}

var (
	errKilled = errors.New("the process was killed")
	errReset  = &net.OpError{Op: "read", Net: "sim", Err: syscall.ECONNRESET}
)
