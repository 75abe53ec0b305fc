package consensus

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// hostConn is a connection from a host.
type hostConn struct {
	net.Conn
	host string
}

func (c hostConn) RemoteAddr() net.Addr { return advertised(c.host + ":999") }

// callers is a listener that is told who calls.
type callers struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l callers) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l callers) Close() error   { close(l.closed); return nil }
func (l callers) Addr() net.Addr { return advertised("n1") }

// call is a caller from a host; the result is its own end.
func (l callers) call(host string) net.Conn {
	mine, theirs := net.Pipe()
	l.conns <- hostConn{theirs, host}
	return mine
}

// Whoever opens connections without end and says nothing holds up no member.
func TestSilentCallersHoldUpNoMember(t *testing.T) {
	ca := newAuthority(t)
	server, _ := ca.issue(t, "n1")
	_, client := ca.issue(t, "n2")
	of := func(node string) parties {
		return parties{identity: func() (string, string, string) { return node, "f-" + node, "7d444840-9dc0-11d1-b245-5ffdce74fad2" }}
	}
	l := callers{make(chan net.Conn), make(chan struct{})}
	s := newStream(&Config{Listener: l, ServerTLS: server, ClientTLS: client, RPCTimeout: time.Hour}, of("n1"), nil, hclog.NewNullLogger())
	defer s.Close()
	var silent []net.Conn
	for range maxHandshakesOf + 10 {
		silent = append(silent, l.call("10.0.0.9"))
	}
	for _, c := range silent[maxHandshakesOf:] { // who is one too many is told at once
		c.SetDeadline(time.Now().Add(60 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("a silent caller beyond those that are waited for: %v, want %v", err, io.EOF)
		}
	}
	meet := func(host string) {
		t.Helper()
		accepted := make(chan error, 1)
		go func() {
			c, err := s.Accept()
			if err == nil {
				c.Close()
			}
			accepted <- err
		}()
		config := client.Clone()
		config.ServerName = "127.0.0.1"
		c := l.call(host)
		defer c.Close()
		c.SetDeadline(time.Now().Add(60 * time.Second))
		member := tls.Client(c, config)
		if err := member.Handshake(); err != nil {
			t.Fatalf("a member from %s: %v", host, err)
		}
		if _, err := of("n2").call(member, "n1", 60*time.Second); err != nil {
			t.Fatalf("a member from %s: %v", host, err)
		}
		if err := <-accepted; err != nil {
			t.Errorf("a member from %s: %v", host, err)
		}
	}
	meet("10.0.0.2")
	for _, c := range silent {
		c.Close()
	}
	eventually(t, "nobody is waited for any more", func() bool {
		s.shaking.mu.Lock()
		defer s.shaking.mu.Unlock()
		return len(s.shaking.of) == 0
	})
	meet("10.0.0.9")
}

// stuckConn is a connection to a peer that takes nothing any more: what is written waits until it is closed.
type stuckConn struct {
	net.Conn
	stuck  chan struct{} // closed: from now on
	closed chan struct{}
	once   *sync.Once
}

func (c stuckConn) Write(p []byte) (int, error) {
	select {
	case <-c.stuck:
		<-c.closed
		return 0, net.ErrClosed
	default:
		return c.Conn.Write(p)
	}
}

func (c stuckConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// The end of a connection, and with it that of a node and the news of a replaced disk, does not wait for a peer that takes
// nothing.
func TestAConnectionEndsWithoutItsPeer(t *testing.T) {
	ca := newAuthority(t)
	server, client := ca.issue(t, "n1")
	mine, theirs := net.Pipe()
	defer theirs.Close()
	stuck := stuckConn{mine, make(chan struct{}), make(chan struct{}), &sync.Once{}}
	go tls.Server(theirs, server).Handshake()
	config := client.Clone()
	config.ServerName = "127.0.0.1"
	encrypted := tls.Client(stuck, config)
	if err := encrypted.Handshake(); err != nil {
		t.Fatal(err)
	}
	s := &stream{conns: map[*trackedConn]struct{}{}, logger: hclog.NewNullLogger()}
	c, err := s.track(&screened{Conn: encrypted}, greeting{})
	if err != nil {
		t.Fatal(err)
	}
	close(stuck.stuck)
	ended := make(chan struct{})
	go func() { defer close(ended); c.Close() }()
	select {
	case <-ended:
	case <-time.After(60 * time.Second):
		t.Fatal("the connection waits for a peer that takes nothing")
	}
}
