package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"
)

// network connects processes by streams that behave as TCP does: bytes arrive in order or not at all. What a real
// network loses shows as a stall, and after a long one as a connection that breaks.
type network struct {
	mu        sync.Mutex
	rnd       *rand.Rand
	regions   map[string]string // of hosts
	listeners map[string]*listener
	cuts      map[[2]string]int // from, to: how many cuts are in force
	paused    map[string]int
	down      map[string]bool // hosts without power
	lossy     map[[2]string]float64
	halves    map[*half]struct{}
	changed   chan struct{} // closed when a path opens
	dials     int
	breaks    int
	lost      int
}

func newNetwork(seed uint64) *network {
	return &network{
		rnd: rand.New(rand.NewPCG(seed, 11)), regions: map[string]string{}, listeners: map[string]*listener{},
		cuts: map[[2]string]int{}, paused: map[string]int{}, down: map[string]bool{}, lossy: map[[2]string]float64{}, halves: map[*half]struct{}{},
		changed: make(chan struct{}),
	}
}

const (
	withinCenter = 200 * time.Microsecond
	withinRegion = time.Millisecond
	// betweenRegions is one way.
	betweenRegions = 15 * time.Millisecond
	// retransmit is what a lost segment costs; what is sent again may be lost again, and then waits for twice as long.
	retransmit     = 200 * time.Millisecond
	retransmitMost = 8 * retransmit
	// inFlightMost is what a connection takes before its writer waits.
	inFlightMost = 256 << 10
)

func (n *network) add(host, region string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.regions[host] = region
}

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

// lose makes a share of the segments on a path late, and breaks a connection now and then.
func (n *network) lose(from, to string, share float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lossy[[2]string{from, to}] = share; share == 0 {
		delete(n.lossy, [2]string{from, to})
	}
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

// address is a net.Addr.
type address string

func (a address) Network() string { return "sim" }
func (a address) String() string  { return string(a) }

// listener is a net.Listener.
type listener struct {
	endpoint *endpoint
	address  string
	accept   chan net.Conn
	once     sync.Once
	closed   chan struct{}
}

func (p *endpoint) listen(at string) net.Listener {
	l := &listener{endpoint: p, address: at, accept: make(chan net.Conn, 128), closed: make(chan struct{})}
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	if p.net.listeners[at] != nil {
		panic("sim: " + at + " is taken")
	}
	p.net.listeners[at] = l
	return l
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Addr() net.Addr { return address(l.address) }

func (l *listener) Close() error {
	l.endpoint.net.mu.Lock()
	defer l.endpoint.net.mu.Unlock()
	if l.endpoint.net.listeners[l.address] == l {
		delete(l.endpoint.net.listeners, l.address)
	}
	l.shut()
	return nil
}

func (l *listener) shut() { l.once.Do(func() { close(l.closed) }) }

// dial connects to an address, as long as ctx lasts: where no answer comes there is no error either.
func (p *endpoint) dial(ctx context.Context, to string) (net.Conn, error) {
	n := p.net
	for {
		n.mu.Lock()
		host, _, err := net.SplitHostPort(to)
		if err != nil || n.regions[host] == "" {
			n.mu.Unlock()
			return nil, fmt.Errorf("dial %s: no such host", to)
		}
		open := !n.blocked(p.host, host) && !n.blocked(host, p.host)
		wait, changed := n.delay(p.host, host)+n.delay(host, p.host), n.changed
		n.mu.Unlock()
		timer := time.NewTimer(wait)
		if !open {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("dial %s: %w", to, ctx.Err())
		case <-p.died:
			timer.Stop()
			return nil, fmt.Errorf("dial %s: %w", to, errKilled)
		case <-changed:
			timer.Stop()
		case <-timer.C:
			return p.connect(host, to)
		}
	}
}

func (p *endpoint) connect(host, to string) (net.Conn, error) {
	n := p.net
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.listeners[to]
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: "sim", Addr: address(to), Err: syscall.ECONNREFUSED}
	}
	n.dials++
	there, back := newHalf(n, p.host, host), newHalf(n, host, p.host)
	there.back, back.back = back, there
	mine := &conn{endpoint: p, in: back, out: there, local: address(p.host + ":0"), remote: address(to)}
	theirs := &conn{endpoint: l.endpoint, in: there, out: back, local: address(to), remote: mine.local}
	if !p.adopt(mine) {
		return nil, fmt.Errorf("dial %s: %w", to, errKilled)
	}
	if !l.endpoint.adopt(theirs) {
		return nil, &net.OpError{Op: "dial", Net: "sim", Addr: address(to), Err: syscall.ECONNREFUSED}
	}
	n.halves[there], n.halves[back] = struct{}{}, struct{}{}
	select {
	case l.accept <- theirs:
		return mine, nil
	default:
		return nil, &net.OpError{Op: "dial", Net: "sim", Addr: address(to), Err: syscall.ECONNREFUSED}
	}
}

func (p *endpoint) adopt(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return false
	}
	p.conns[c] = struct{}{}
	return true
}
