package feed

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// connectedTo says whether a follower's peers are these, connected.
func connectedTo(f *Follower, names ...string) bool {
	status := f.Status()
	if len(status) != len(names) {
		return false
	}
	for i, s := range status {
		if s.Name != names[i] || !s.Connected {
			return false
		}
	}
	return true
}

func TestPeersComeAndGoWhileStreamsToOthersStay(t *testing.T) {
	inBubble(t, func(t *testing.T, net *bubble) {
		a, b, relay := memory(t), memory(t), memory(t)
		net.serve(t, "s0", a)
		net.serve(t, "s1", b)
		la, lb := a.Log("c/a"), b.Log("c/b")
		la.Begin(1, []Change{change("a", "1")})
		lb.Begin(1, []Change{change("b", "1")})
		peers := peersNamed("s0", "s1")
		f := followWith(t, FollowerConfig{Set: relay, Peers: peers[:1], Dialer: net.dial})
		half := func(name string) *receiver {
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, p := range f.peers {
				if p.peer.Name == name {
					return p.half
				}
			}
			return nil
		}
		eventually(t, "the first peer is followed", func() bool { return connectedTo(f, "s0") && equal(la, relay) })
		first := half("s0")
		f.SetPeers([]Peer{peers[1], peers[0]})
		eventually(t, "the second peer is followed", func() bool { return connectedTo(f, "s1", "s0") && equal(lb, relay) })
		if half("s0") != first {
			t.Error("the stream to the peer that stayed was begun anew")
		}
		f.SetPeers(peers[1:])
		synctest.Wait() // until the stream has ended
		la.Commit(change("a", "2"))
		lb.Commit(change("b", "2"))
		eventually(t, "the second peer alone is followed", func() bool { return connectedTo(f, "s1") && equal(lb, relay) })
		if c, _ := relay.Get("c/a"); c.Position() == la.Position() || c.Len() != 1 {
			t.Errorf("the first peer's feed is at %s with %d records", c.Position(), c.Len())
		}
		f.SetPeers([]Peer{{Name: "s1", Address: "s0"}}) // the peer moved
		eventually(t, "the peer is followed at its new address", func() bool { return connectedTo(f, "s1") && equal(la, relay) })
		lb.Commit(change("b", "3"))
		f.SetPeers(nil)
		eventually(t, "nobody is followed", func() bool { return connectedTo(f) })
		f.SetPeers(peers)
		eventually(t, "all are followed again", func() bool { return connectedTo(f, "s0", "s1") && equal(la, relay) && equal(lb, relay) })
	})
}

func TestWrongPeersAreLeftOut(t *testing.T) {
	var out lockedBuffer
	f, err := NewFollower(FollowerConfig{Set: memory(t), Log: slog.New(slog.NewTextHandler(&out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	f.SetPeers([]Peer{{Name: "a", Address: "x:1"}, {Name: "a", Address: "x:2"}, {Name: "b"}, {Name: "c", Address: "x:3"}})
	if s := f.Status(); len(s) != 2 || s[0].Address != "x:1" || s[1].Name != "c" {
		t.Errorf("%+v", s)
	}
	for _, want := range []string{"is there twice", "both are required"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("not logged: %s in %s", want, out.String())
		}
	}
}

// TestPeersChangeUnderLoad is for the race detector: peers come and go as fast as they can while a feed changes, and at
// the end the copy is equal.
func TestPeersChangeUnderLoad(t *testing.T) {
	a, b := startServer(t, memory(t), "127.0.0.1:0"), startServer(t, memory(t), "127.0.0.1:0")
	follow(t, b.set, a)
	l := a.set.Log("c/a")
	l.Begin(1, []Change{change("a", "1")})
	peers := peersOf(a, b)
	relay := memory(t)
	f := followWith(t, FollowerConfig{Set: relay, Peers: peers})
	for i := range 200 {
		f.SetPeers([][]Peer{peers, peers[1:], {peers[1], peers[0]}, nil, peers[:1]}[i%5])
		l.Commit(change("a", strings.Repeat("x", i)))
		if i%20 == 0 {
			time.Sleep(5 * time.Millisecond)
		}
	}
	f.SetPeers(peers)
	eventually(t, "the copy is equal", func() bool { return equal(l, relay) })
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
