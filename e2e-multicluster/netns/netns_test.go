//go:build linux && e2e

package netns

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// pair is two hosts of two regions, and an echo on the second.
func pair(t *testing.T) *Network {
	t.Helper()
	hub, err := New("hub")
	if err != nil {
		t.Fatal(err)
	}
	n, err := NewNetwork(hub, Place{"a", "east"}, Place{"b", "west"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	var listener net.Listener
	if err := n.Host("b").Do(func() (err error) {
		listener, err = net.Listen("tcp", n.Host("b").Address.String()+":7000")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn) }()
		}
	}()
	return n
}

// echo says whether a byte comes back in time, and how long it took.
func echo(t *testing.T, conn net.Conn, within time.Duration) (time.Duration, bool) {
	t.Helper()
	start := time.Now()
	_ = conn.SetDeadline(start.Add(within))
	if _, err := conn.Write([]byte{1}); err != nil {
		return 0, false
	}
	_, err := io.ReadFull(conn, make([]byte, 1))
	return time.Since(start), err == nil
}

func dial(t *testing.T, n *Network) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := n.Host("a").Dial(ctx, "tcp", n.Host("b").Address.String()+":7000")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

const soon, generous = 700 * time.Millisecond, 30 * time.Second

// A cut loses what goes one way, on connections that exist too, and what was lost arrives after it.
func TestACutIsSilentAndHeals(t *testing.T) {
	n := pair(t)
	conn := dial(t, n)
	if _, ok := echo(t, conn, generous); !ok {
		t.Fatal("no answer before the cut")
	}
	for _, way := range [][2]string{{"a", "b"}, {"b", "a"}} {
		if err := n.Cut(way[0], way[1]); err != nil {
			t.Fatal(err)
		}
		if _, ok := echo(t, conn, soon); ok {
			t.Errorf("an answer came while %s reached %s by nothing", way[0], way[1])
		}
		if err := n.Heal(); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(generous))
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
			t.Errorf("after the cut of %s to %s: %v", way[0], way[1], err)
		}
	}
}

func TestADelayIsADelay(t *testing.T) {
	n := pair(t)
	conn := dial(t, n)
	const oneWay = 40 * time.Millisecond
	if err := n.Delay(oneWay); err != nil {
		t.Fatal(err)
	}
	if took, ok := echo(t, conn, generous); !ok || took < 2*oneWay {
		t.Errorf("an echo took %s (%v), want at least %s", took, ok, 2*oneWay)
	}
	if err := n.Delay(0); err != nil {
		t.Fatal(err)
	}
	for range 100 { // until the machine has a quiet moment
		if took, ok := echo(t, conn, generous); ok && took < oneWay {
			return
		}
	}
	t.Errorf("an echo takes longer than %s still", oneWay)
}
