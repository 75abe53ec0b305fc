package consensus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// checkServerTLS says what is wrong with a configuration for the listener: whoever can speak to it can write the log.
func checkServerTLS(c *tls.Config) error {
	switch {
	case c == nil:
		return errors.New("must be given")
	case c.GetConfigForClient != nil:
		return nil // decided for each caller; stream refuses those who show no certificate
	case c.ClientAuth == tls.RequireAndVerifyClientCert:
		return nil
	case c.ClientAuth == tls.RequireAnyClientCert && (c.VerifyPeerCertificate != nil || c.VerifyConnection != nil):
		return nil
	}
	return errors.New("must require and verify client certificates")
}

// stream is the raft.StreamLayer: TLS both ways and greetings, over connections that it can close all at once.
type stream struct {
	listener net.Listener
	parties  parties
	server   *tls.Config
	client   *tls.Config
	dial     func(ctx context.Context, address string) (net.Conn, error)
	timeout  time.Duration
	called   func(node string, err error) // is told how each greeting ended; may be nil
	logger   hclog.Logger

	shaking handshakes

	ready  chan net.Conn // hands were shaken
	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu    sync.Mutex
	conns map[*trackedConn]struct{} // nil once closed
}

func newStream(cfg *Config, p parties, called func(string, error), logger hclog.Logger) *stream {
	s := &stream{
		listener: cfg.Listener, parties: p, server: cfg.ServerTLS, client: cfg.ClientTLS,
		dial: cfg.Dial, timeout: cfg.RPCTimeout, called: called, logger: logger, ready: make(chan net.Conn), conns: map[*trackedConn]struct{}{},
	}
	if s.dial == nil {
		s.dial = dialTCP
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.tasks.Go(s.acceptAll)
	return s
}

// acceptAll shakes hands with each caller apart from the others, so that one who does not answer holds up nobody.
func (s *stream) acceptAll() {
	slots := make(chan struct{}, maxHandshakes)
	for delay := time.Duration(0); ; {
		conn, err := s.listener.Accept()
		if err != nil {
			if s.ctx.Err() != nil {
				return
			}
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			s.logger.Error("cannot accept a connection", "error", err)
			select {
			case <-time.After(delay):
				continue
			case <-s.ctx.Done():
				return
			}
		}
		delay = 0
		host := hostOf(conn.RemoteAddr())
		if !s.shaking.begin(host) {
			s.logger.Warn("refused a caller", "peer", host, "error", "too many from there are connecting and have said nothing yet")
			conn.Close()
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-s.ctx.Done():
			conn.Close()
			return
		}
		s.tasks.Go(func() {
			defer func() {
				s.shaking.end(host)
				<-slots
			}()
			s.shake(conn)
		})
	}
}

func (s *stream) shake(conn net.Conn) {
	defer context.AfterFunc(s.ctx, func() { conn.Close() })()
	c := tls.Server(conn, s.server)
	ctx, cancel := context.WithTimeout(s.ctx, s.timeout)
	defer cancel()
	err := c.HandshakeContext(ctx)
	if err == nil && len(c.ConnectionState().PeerCertificates) == 0 {
		err = errors.New("caller showed no certificate")
	}
	var caller greeting
	if err == nil {
		caller, err = s.parties.receive(c, s.timeout)
	}
	if err != nil {
		if s.ctx.Err() == nil {
			s.logger.Warn("refused a caller", "peer", hostOf(conn.RemoteAddr()), "error", err)
		}
		conn.Close()
		return
	}
	tracked, err := s.track(&screened{Conn: c, screen: screen{requests: true, from: s.parties.sender(caller)}}, caller)
	if err != nil {
		return
	}
	select {
	case s.ready <- tracked:
	case <-s.ctx.Done():
		tracked.Close()
	}
}

// hostOf is an address without its port, which changes with each call: a complaint is made once in a while.
func hostOf(a net.Addr) string {
	if host, _, err := net.SplitHostPort(a.String()); err == nil {
		return host
	}
	return a.String()
}

// Accept implements net.Listener.
func (s *stream) Accept() (net.Conn, error) {
	select {
	case c := <-s.ready:
		return c, nil
	case <-s.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Dial implements raft.StreamLayer. The address is a target.
func (s *stream) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	means, address := splitTarget(to)
	raw, err := s.dial(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", address, err)
	}
	defer context.AfterFunc(s.ctx, func() { raw.Close() })()
	config := s.client
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName, _, _ = net.SplitHostPort(address)
	}
	conn := tls.Client(raw, config)
	var other greeting
	if err = conn.HandshakeContext(ctx); err == nil {
		other, err = s.parties.call(conn, means, timeout)
		if s.called != nil && means != "" {
			s.called(means, err)
		}
	}
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("call %s: %w", address, err)
	}
	return s.track(&screened{Conn: conn}, other)
}

// dialTCP connects as there is no other way given.
func dialTCP(ctx context.Context, address string) (net.Conn, error) {
	d := net.Dialer{KeepAlive: 5 * time.Second}
	return d.DialContext(ctx, "tcp", address)
}

// Addr implements net.Listener: within raft, a node's address is its id.
func (s *stream) Addr() net.Addr {
	node, _, _ := s.parties.identity()
	return advertised(node)
}

type advertised string

func (advertised) Network() string  { return "tcp" }
func (a advertised) String() string { return string(a) }

// Close ends every connection, both ways, and returns when nothing of the stream runs any more.
func (s *stream) Close() error {
	s.cancel()
	err := s.listener.Close()
	s.mu.Lock()
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	for c := range conns {
		c.Close()
	}
	s.tasks.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// review closes the connections to those that turned out to be replaced.
func (s *stream) review() {
	s.mu.Lock()
	all := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	for _, t := range all {
		s.drop(t)
	}
}

// drop closes a connection if its other end was replaced.
func (s *stream) drop(t *trackedConn) error {
	why := s.parties.replaced(t.peer)
	if why == "" {
		return nil
	}
	s.logger.Warn("closed a connection", "peer", t.peer.node, "error", why)
	t.Close()
	return fmt.Errorf("%w: %s", ErrPeer, why)
}

// track remembers a connection, and what its other end said of itself, until it is closed.
func (s *stream) track(c net.Conn, peer greeting) (net.Conn, error) {
	t := &trackedConn{Conn: c, stream: s, peer: peer}
	s.mu.Lock()
	if s.conns == nil {
		s.mu.Unlock()
		c.Close()
		return nil, net.ErrClosed
	}
	s.conns[t] = struct{}{}
	s.mu.Unlock()
	// The table may have changed since the greeting.
	if err := s.drop(t); err != nil {
		return nil, err
	}
	return t, nil
}

type trackedConn struct {
	net.Conn
	stream *stream
	peer   greeting
	once   sync.Once
}

// goodbye is how long TLS may take to say that a connection ends; by itself it would wait for 5 s.
const goodbye = 50 * time.Millisecond

// Close implements net.Conn. It does not wait to say goodbye to a peer that takes nothing.
func (t *trackedConn) Close() (err error) {
	t.once.Do(func() {
		t.stream.mu.Lock()
		delete(t.stream.conns, t)
		t.stream.mu.Unlock()
		if over, ok := t.Conn.(interface{ NetConn() net.Conn }); ok {
			defer time.AfterFunc(goodbye, func() { over.NetConn().Close() }).Stop()
		}
		err = t.Conn.Close()
	})
	return err
}
