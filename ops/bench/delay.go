package main

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// delayed dials connections on which bytes travel as long as over the distance to that address, both ways. They travel
// at once behind each other, as on a wire: a delay is not a limit of throughput.
func delayed(oneWay map[string]time.Duration) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) {
		delay := oneWay[address]
		// The handshake of TCP takes a round trip.
		select {
		case <-time.After(2 * delay):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		far, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		near, wire := newSocketPair()
		if near == nil {
			far.Close()
			return nil, io.ErrClosedPipe
		}
		go travel(far, wire, delay)
		go travel(wire, far, delay)
		return near, nil
	}
}

// newSocketPair is two ends of a connection with the kernel's buffers between them.
func newSocketPair() (a, b net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil
	}
	defer l.Close()
	dialled := make(chan net.Conn, 1)
	go func() {
		c, _ := net.Dial("tcp", l.Addr().String())
		dialled <- c
	}()
	b, err = l.Accept()
	a = <-dialled
	if err != nil || a == nil {
		return nil, nil
	}
	return a, b
}

// parcel is bytes under way.
type parcel struct {
	arrives time.Time
	bytes   []byte
}

// travel carries what one end says to the other, later.
func travel(to, from net.Conn, delay time.Duration) {
	road := make(chan parcel, 1024)
	var both sync.WaitGroup
	both.Go(func() {
		for p := range road {
			time.Sleep(time.Until(p.arrives))
			if _, err := to.Write(p.bytes); err != nil {
				break
			}
		}
		to.Close()
		for range road { // what comes after the end is lost
		}
	})
	for {
		buffer := make([]byte, 32<<10)
		n, err := from.Read(buffer)
		if n > 0 {
			road <- parcel{arrives: time.Now().Add(delay), bytes: buffer[:n]}
		}
		if err != nil {
			break
		}
	}
	close(road)
	both.Wait()
	from.Close()
}
