package client

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// pipes is a listener whose connections stay within the process: in a bubble of testing/synctest, time goes on only when
// everybody waits, so that what a test says of time holds on any machine.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
	close    func()
}

func newPipes() *pipes {
	closed := make(chan struct{})
	return &pipes{accepted: make(chan net.Conn), closed: closed, close: sync.OnceFunc(func() { close(closed) })}
}

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.accepted <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.accepted:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipes) Close() error { p.close(); return nil }

// Addr implements net.Listener.
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// newBubbleClient goes to the servers in order, within the bubble. One that is nil is gone.
func newBubbleClient(t *testing.T, timeout time.Duration, servers ...http.HandlerFunc) *Client {
	t.Helper()
	listeners := map[string]*pipes{}
	var configs []*rest.Config
	for i, answer := range servers {
		address := fmt.Sprintf("s%d:443", i)
		configs = append(configs, &rest.Config{Host: "https://" + address})
		if answer == nil {
			continue
		}
		listener := newPipes()
		listeners[address] = listener
		server := &http.Server{Handler: answer, ErrorLog: log.New(io.Discard, "", 0)}
		var serving sync.WaitGroup
		serving.Go(func() { _ = server.Serve(listener) })
		t.Cleanup(func() { _ = server.Close(); serving.Wait() })
	}
	c, err := newClient(configs, &http.Client{Transport: &http.Transport{
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if to, there := listeners[address]; there {
				return to.dial(ctx)
			}
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		},
	}}, timeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
