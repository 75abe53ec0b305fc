package sim

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
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
		wait, changed := n.delay(p.host, host, 0)+n.delay(host, p.host, 0), n.changed
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
	there, back := n.numbered(newHalf(n, p.host, host)), n.numbered(newHalf(n, host, p.host))
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
