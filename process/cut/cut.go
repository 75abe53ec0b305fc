package cut

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"pentad.dev/pentad/process"
)

// pollEvery is how late a change of the file is seen.
const pollEvery = 20 * time.Millisecond

// Cut is a process's view of the file. A nil Cut cuts nothing, and all of its methods may be called.
type Cut struct {
	path string
	here process.Place

	mu   sync.Mutex
	file *File
	seen os.FileInfo
	// changed is closed and replaced when another content of the file holds.
	changed chan struct{}
	// over is closed when Run has ended: nobody will hear of a healed cut any more.
	over chan struct{}
}

// FromEnv is the Cut of a process at a place, nil without the variable. A file that can't be read is a
// process.UsageError.
func FromEnv(here process.Place) (*Cut, error) {
	path := os.Getenv(Env)
	if path == "" {
		return nil, nil
	}
	c, err := Open(path, here)
	if err != nil {
		return nil, process.Usagef("%s: %w", Env, err)
	}
	return c, nil
}

// Open is the Cut of whoever is at a place. What the file says now holds from the start, changes only while Run runs.
func Open(path string, here process.Place) (*Cut, error) {
	c := &Cut{path: path, here: here, changed: make(chan struct{}), over: make(chan struct{})}
	return c, c.load()
}

func (c *Cut) load() error {
	seen, err := os.Stat(c.path)
	if err != nil {
		return err
	}
	file := &File{}
	err = process.LoadConfig(c.path, file)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = seen // also of a wrong file, to complain once
	if err != nil {
		return err
	}
	c.file = file
	close(c.changed)
	c.changed = make(chan struct{})
	return nil
}

// Run follows the file until ctx ends. While the file is wrong or gone, what it said before holds.
func (c *Cut) Run(ctx context.Context, log *slog.Logger) error {
	if c == nil {
		return nil
	}
	defer close(c.over)
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	gone := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		now, err := os.Stat(c.path)
		if err != nil {
			if !gone {
				log.Warn("file of network cuts can't be read, the last one holds", "error", err)
			}
			gone = true
			continue
		}
		gone = false
		c.mu.Lock()
		same := os.SameFile(now, c.seen) && now.ModTime().Equal(c.seen.ModTime()) && now.Size() == c.seen.Size()
		c.mu.Unlock()
		if same {
			continue
		}
		if err := c.load(); err != nil {
			log.Warn("file of network cuts is wrong, the last good one holds", "error", err)
			continue
		}
		log.Info("network cuts changed", "cuts", fmt.Sprint(c.Cuts()))
	}
}

// Cuts are what is cut now.
func (c *Cut) Cuts() []Between {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.file.Cuts
}

// between says whether a cut lies between here and there; changed is closed when that may be different.
func (c *Cut) between(there process.Place) (cut bool, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.file.Cuts {
		if b.separates(c.here, there) {
			return true, c.changed
		}
	}
	return false, c.changed
}

// place is where an address is; ok is false where nothing can be cut: in this center, or nowhere.
func (c *Cut) place(address string) (there process.Place, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	there, ok = c.file.Places[address]
	return there, ok && there != c.here
}

// Dial connects over TCP as the cuts allow. It has the shape of feed.Dialer and of grpc.WithContextDialer.
func (c *Cut) Dial(ctx context.Context, address string) (net.Conn, error) {
	return c.DialContext(ctx, "tcp", address)
}

// Dialer is Dial, and nil of a nil Cut: who takes it then does what it does without one (gRPC asks for proxies).
func (c *Cut) Dialer() func(ctx context.Context, address string) (net.Conn, error) {
	if c == nil {
		return nil
	}
	return c.Dial
}

// DialContext is Dial in the shape of http.Transport's, and of net.Dialer's.
func (c *Cut) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	if c == nil {
		return dialer.DialContext(ctx, network, address)
	}
	there, ok := c.place(address)
	if !ok {
		return dialer.DialContext(ctx, network, address)
	}
	for {
		cut, changed := c.between(there)
		if !cut {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, &net.OpError{Op: "dial", Net: network, Err: timedOut(ctx.Err())}
		}
	}
	raw, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return newConn(raw, c, there), nil
}

// timedOut is the error of a socket for that of a context.
func timedOut(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return os.ErrDeadlineExceeded
	}
	return err
}
