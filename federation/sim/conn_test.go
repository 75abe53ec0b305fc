package sim

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// conn is one end of a connection.
type conn struct {
	endpoint      *endpoint
	in, out       *half
	local, remote address
	once          sync.Once
}

func (c *conn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *conn) Write(p []byte) (int, error) { return c.out.write(p) }
func (c *conn) LocalAddr() net.Addr         { return c.local }
func (c *conn) RemoteAddr() net.Addr        { return c.remote }

func (c *conn) SetDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.reads, t)
	c.out.setDeadline(&c.out.writes, t)
	return nil
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.reads, t)
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writes, t)
	return nil
}

// Close says goodbye behind what is under way; what comes in is dropped.
func (c *conn) Close() error {
	c.once.Do(func() {
		c.endpoint.mu.Lock()
		delete(c.endpoint.conns, c)
		c.endpoint.mu.Unlock()
		n := c.endpoint.net
		n.mu.Lock()
		defer n.mu.Unlock()
		c.in.deaf(net.ErrClosed)
		c.out.end(io.EOF)
	})
	return nil
}

// half is one direction of a connection. All halves share the network's lock: a segment that is sent, a cut and a kill
// have one order.
type half struct {
	net      *network
	from, to string
	number   uint64 // what its delays follow from
	back     *half

	cond    *sync.Cond
	flight  []segment // under way, in order
	bytes   int       // in flight and arrived, not read
	buffer  []byte    // arrived
	timer   *time.Timer
	stalled bool  // something is due and blocked
	over    error // what a reader gets behind the last byte
	broken  error // what reader and writer get at once
	ended   bool  // nothing more is written
	gone    error // why nobody reads any more; the writer does not know

	reads, writes deadline
}

type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

// segment is a write under way; one with err is the last.
type segment struct {
	due  time.Time
	data []byte
	err  error
}

func newHalf(n *network, from, to string) *half {
	return &half{net: n, from: from, to: to, cond: sync.NewCond(&n.mu)}
}

func (h *half) write(p []byte) (int, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	for {
		switch {
		case h.broken != nil:
			return 0, h.broken
		case h.ended:
			return 0, net.ErrClosed
		case h.writes.passed():
			return 0, os.ErrDeadlineExceeded
		}
		if h.bytes < inFlightMost {
			break
		}
		h.cond.Wait()
	}
	h.bytes += len(p)
	h.send(segment{data: append([]byte(nil), p...)})
	return len(p), nil
}

// end sends the last word. Holders of the network's lock call it, as all below.
func (h *half) end(err error) {
	if h.ended || h.broken != nil {
		return
	}
	h.ended = true
	h.send(segment{err: err})
	h.cond.Broadcast()
}

func (h *half) send(s segment) {
	now := time.Now()
	s.due = now.Add(h.net.delay(h.from, h.to, h.wander(now)))
	if n := len(h.flight); n > 0 && s.due.Before(h.flight[n-1].due) {
		s.due = h.flight[n-1].due
	}
	if h.flight = append(h.flight, s); len(h.flight) == 1 && !h.stalled {
		h.arm(time.Until(s.due))
	}
}

func (h *half) arm(after time.Duration) {
	if h.timer == nil {
		h.timer = time.AfterFunc(after, h.arrive)
		return
	}
	h.timer.Reset(after)
}

func (h *half) arrive() {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if h.broken != nil || len(h.flight) == 0 {
		return
	}
	if h.net.blocked(h.from, h.to) {
		h.stalled = true
		return
	}
	if h.gone != nil && !h.net.down[h.to] && h.flight[0].err == nil {
		h.fail(errReset)
		h.back.fail(errReset)
		return
	}
	now, n := time.Now(), 0
	for ; n < len(h.flight) && !h.flight[n].due.After(now); n++ {
		h.buffer = append(h.buffer, h.flight[n].data...)
		if h.flight[n].err != nil {
			h.over = h.flight[n].err
		}
	}
	if h.flight = h.flight[n:]; len(h.flight) > 0 {
		h.arm(time.Until(h.flight[0].due))
	} else {
		h.flight = nil
	}
	h.forget()
	h.cond.Broadcast()
}

func (h *half) read(p []byte) (int, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	for {
		switch {
		case h.broken != nil:
			return 0, h.broken
		case h.gone != nil:
			return 0, h.gone
		case h.reads.passed():
			return 0, os.ErrDeadlineExceeded
		case len(h.buffer) > 0:
			n := copy(p, h.buffer)
			if h.buffer = h.buffer[n:]; len(h.buffer) == 0 {
				h.buffer = nil
			}
			if h.bytes -= n; h.bytes < inFlightMost && h.bytes+n >= inFlightMost {
				h.cond.Broadcast()
			}
			return n, nil
		case h.over != nil:
			return 0, h.over
		case len(p) == 0:
			return 0, nil
		}
		h.cond.Wait()
	}
}

// fail breaks the direction at once.
func (h *half) fail(err error) {
	if h.broken != nil {
		return
	}
	h.broken, h.flight, h.buffer = err, nil, nil
	if h.timer != nil {
		h.timer.Stop()
	}
	h.forget()
	h.cond.Broadcast()
}

// forget takes a direction out of the network's list when nothing more can happen on it.
func (h *half) forget() {
	if h.broken != nil || h.over != nil {
		delete(h.net.halves, h)
	}
}

// deaf drops what comes in. The other end learns of it when it writes and is answered.
func (h *half) deaf(why error) {
	if h.gone == nil {
		h.gone, h.buffer = why, nil
		h.cond.Broadcast()
	}
}

func (h *half) setDeadline(d *deadline, t time.Time) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	d.at = t
	h.cond.Broadcast()
	switch {
	case t.IsZero():
		if d.timer != nil {
			d.timer.Stop()
		}
	case d.timer == nil:
		d.timer = time.AfterFunc(time.Until(t), func() {
			h.net.mu.Lock()
			defer h.net.mu.Unlock()
			h.cond.Broadcast()
		})
	default:
		d.timer.Reset(time.Until(t))
	}
}
