package cut

import (
	"bytes"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"pentad.dev/pentad/process"
)

const (
	// bufferSize is what a write takes behind a cut before it waits, like a socket's send buffer.
	bufferSize = 256 << 10
	// lingerFor is how long what was written before a Close may take to be sent once the cut has healed.
	lingerFor = 10 * time.Second
)

// conn is the dialer's end of a connection to another center.
type conn struct {
	net.Conn
	cut   *Cut
	there process.Place

	readBy, writeBy deadline
	closing         sync.Once
	closed          chan struct{}

	// reading is held by Read; held and ended are what arrived behind a cut.
	reading sync.Mutex
	held    []byte
	ended   error

	// writing is held by Write, mu for moments; queue is what was written behind a cut.
	writing  sync.Mutex
	mu       sync.Mutex
	queue    []byte
	draining bool
	broken   error
	// sent is closed and replaced when the queue has become shorter.
	sent chan struct{}
}

func newConn(raw net.Conn, c *Cut, there process.Place) *conn {
	return &conn{
		Conn: raw, cut: c, there: there, closed: make(chan struct{}), sent: make(chan struct{}),
		readBy: newDeadline(), writeBy: newDeadline(),
	}
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if len(c.held) == 0 && c.ended == nil {
		n, err := c.Conn.Read(p)
		if c.isClosed() {
			return 0, net.ErrClosed
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && n == 0 {
			return 0, err
		}
		if cut, _ := c.cut.between(c.there); !cut {
			return n, err
		}
		c.held, c.ended = bytes.Clone(p[:n]), err
	}
	if err := c.healed(&c.readBy); err != nil {
		return 0, err
	}
	n := copy(p, c.held)
	c.held = c.held[n:]
	if len(c.held) > 0 {
		return n, nil
	}
	err := c.ended
	c.ended = nil
	return n, err
}

// healed returns nil when nothing lies between any more.
func (c *conn) healed(by *deadline) error {
	for {
		cut, changed := c.cut.between(c.there)
		if !cut {
			return nil
		}
		select {
		case <-changed:
		case <-by.passed():
			return os.ErrDeadlineExceeded
		case <-c.closed:
			return net.ErrClosed
		}
	}
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	for n := 0; ; {
		queued, sent, err := c.enqueue(p[n:])
		n += queued
		switch {
		case err != nil:
			return n, err
		case sent == nil: // nothing lies between
			more, err := c.Conn.Write(p[n:])
			return n + more, err
		case n == len(p):
			return n, nil
		}
		select {
		case <-sent:
		case <-c.writeBy.passed():
			return n, os.ErrDeadlineExceeded
		case <-c.closed:
			return n, net.ErrClosed
		}
	}
}

// enqueue takes what has room when something lies between, or is still to be sent from when something did; sent is
// closed when there may be more room. Otherwise sent is nil.
func (c *conn) enqueue(p []byte) (n int, sent <-chan struct{}, err error) {
	cut, _ := c.cut.between(c.there)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.isClosed():
		return 0, nil, net.ErrClosed
	case c.broken != nil:
		return 0, nil, c.broken
	case !cut && !c.draining:
		return 0, nil, nil
	}
	n = min(bufferSize-len(c.queue), len(p))
	c.queue = append(c.queue, p[:n]...)
	c.drain()
	return n, c.sent, nil
}

// drain starts, with mu held, what sends the queue when the cut has healed. It ends when the queue is empty, and with
// the connection.
func (c *conn) drain() {
	if c.draining {
		return
	}
	c.draining = true
	go func() {
		if err := c.send(); err != nil {
			c.mu.Lock()
			c.broken = err
			c.mu.Unlock()
			_ = c.Conn.Close() // a stream with a hole in it must not go on
		}
	}()
}

func (c *conn) send() error {
	if !c.reachable() {
		return net.ErrClosed
	}
	for {
		batch := c.take()
		if batch == nil {
			return nil
		}
		if c.isClosed() {
			_ = c.Conn.SetDeadline(time.Now().Add(lingerFor))
		}
		if _, err := c.Conn.Write(batch); err != nil {
			return err
		}
	}
}

// take empties the queue. When it is empty, the socket belongs to Write and Close again.
func (c *conn) take() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	batch := c.queue
	c.queue = nil
	if len(batch) > 0 {
		close(c.sent)
		c.sent = make(chan struct{})
		return batch
	}
	c.draining = false
	if c.isClosed() {
		_ = c.Conn.Close()
	}
	return nil
}

// reachable waits until nothing lies between any more, also after a Close; false: nobody will know.
func (c *conn) reachable() bool {
	for {
		cut, changed := c.cut.between(c.there)
		if !cut {
			return true
		}
		select {
		case <-changed:
		case <-c.cut.over:
			return false
		}
	}
}

// Close implements net.Conn. Behind a cut the socket stays open until the cut has healed: the other side hears nothing.
func (c *conn) Close() error {
	err := net.ErrClosed
	c.closing.Do(func() {
		cut, _ := c.cut.between(c.there)
		c.mu.Lock()
		defer c.mu.Unlock()
		close(c.closed)
		if !cut && !c.draining {
			err = c.Conn.Close()
			return
		}
		c.drain()
		err = c.Conn.SetDeadline(time.Unix(1, 0)) // for who waits for the socket now
	})
	return err
}

func (c *conn) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	if c.isClosed() {
		return net.ErrClosed
	}
	c.readBy.set(t)
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	if c.isClosed() {
		return net.ErrClosed
	}
	c.writeBy.set(t)
	return c.Conn.SetWriteDeadline(t)
}
