package consensus

import (
	"context"
	"net"
	"sync"
	"time"
)

// wan is the network between centers: a dialer whose connections carry each byte some time later. It delays, and keeps
// order; what cuts links is the gate.
type wan struct {
	mu      sync.Mutex
	region  map[string]string // by address
	between time.Duration     // one way between regions
	within  time.Duration     // one way between centers of a region
}

func newWAN() *wan {
	return &wan{region: map[string]string{}, between: 15 * time.Millisecond, within: 500 * time.Microsecond}
}

func (w *wan) place(address, region string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.region[address] = region
}

func (w *wan) delay(from, to string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.region[from] == w.region[to] {
		return w.within
	}
	return w.between
}

// dialer is the Config.Dial of the member at that address.
func (w *wan) dialer(from string) func(ctx context.Context, address string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) {
		delay := w.delay(from, address)
		select { // TCP's own handshake
		case <-time.After(2 * delay):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		far, err := dialTCP(ctx, address)
		if err != nil {
			return nil, err
		}
		near, inner := net.Pipe()
		go carry(inner, far, delay)
		go carry(far, inner, delay)
		return near, nil
	}
}

// carry copies from one connection to another, each piece that much later, and then its end.
func carry(to, from net.Conn, delay time.Duration) {
	type piece struct {
		due     time.Time
		content []byte
	}
	pieces := make(chan piece, 1024)
	go func() {
		defer close(pieces)
		buf := make([]byte, 64<<10)
		for {
			n, err := from.Read(buf)
			if n > 0 {
				pieces <- piece{time.Now().Add(delay), append([]byte(nil), buf[:n]...)}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range pieces {
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.content); err != nil {
			break
		}
	}
	// Both ends: a connection that is half closed is of no use to raft.
	to.Close()
	from.Close()
	for range pieces {
	}
}
