//go:build linux && e2e

package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"pentad.dev/pentad/e2e-multicluster/estate"
	"pentad.dev/pentad/federation/identity"
)

// What strangers say to the servers' ports disturbs nobody.
func TestGarbageDisturbsNobody(t *testing.T) {
	s := open(t, nil)
	s.up()
	s.load(nil)
	victim := s.leader()
	pid := victim.PID()
	operator, err := identity.Load(s.Operator())
	s.must(err)
	for _, port := range []string{estate.RaftPort, estate.GRPCPort, estate.APIPort, estate.AdminPort} {
		address := victim.Host.Address.String() + ":" + port
		for name, speak := range map[string]func(net.Conn) error{
			"noise":        noise,
			"HTTP/1":       speaks("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
			"HTTP/2":       speaks("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x12\x04\x00\x00\x00\x00\x00"),
			"half a hello": speaks("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
			"nothing":      func(net.Conn) error { return nil },
			"TLS of nobody": func(conn net.Conn) error {
				return encrypted(conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // a stranger trusts anybody
			},
			"TLS of an operator": func(conn net.Conn) error { return encrypted(conn, operator.Client(identity.RoleServer)) },
		} {
			for range 10 {
				s.must(s.speak(address, speak))
			}
			s.say("port %s was told %s", port, name)
			s.faults++
		}
		s.written("after garbage for port " + port)
	}
	// Many who say a byte now and then, and never anything whole.
	var held []net.Conn
	for _, port := range []string{estate.RaftPort, estate.GRPCPort, estate.APIPort, estate.AdminPort} {
		for range 200 {
			conn, err := net.DialTimeout("tcp", victim.Host.Address.String()+":"+port, patience)
			s.must(err)
			defer conn.Close()
			held = append(held, conn)
		}
	}
	for range 10 {
		for _, conn := range held {
			_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = conn.Write([]byte("\x16")) // the other end may have had enough
		}
		s.written("with slow strangers")
	}
	s.say("%d slow strangers at %s", len(held), victim.Name)
	s.faults++
	s.settled()
	if victim.PID() != pid {
		t.Errorf("%s is not the process any more that it was", victim.Name)
	}
	s.linearizable()
}

// speak connects, speaks, and reads what comes for a moment.
func (s *site) speak(address string, say func(net.Conn) error) error {
	ctx, cancel := context.WithTimeout(s.within(), 20*time.Second)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("nobody takes connections at %s: %w", address, err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(100 * time.Millisecond))
	_ = say(conn) // the other end may hang up in the middle
	_, _ = conn.Read(make([]byte, 1024))
	return nil
}

func speaks(text string) func(net.Conn) error {
	return func(conn net.Conn) error {
		_, err := conn.Write([]byte(text))
		return err
	}
}

func noise(conn net.Conn) error {
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	data := make([]byte, 1+random.IntN(1<<16))
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	_, err := conn.Write(data)
	return err
}

// encrypted speaks noise inside of TLS, if the other end takes the caller.
func encrypted(conn net.Conn, config *tls.Config) error {
	inside := tls.Client(conn, config)
	if err := inside.Handshake(); err != nil {
		return err
	}
	return noise(inside)
}
