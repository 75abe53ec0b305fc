package stream

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pentad.dev/pentad/unitization/switchover"
)

// inBubble runs a test in virtual time: real gRPC over connections in memory.
func inBubble(t *testing.T, test func(*testing.T, *network, *authority)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newNetwork(), newAuthority()) })
}

// stays fails the test when a condition does not hold all the time.
func stays(t *testing.T, what string, long time.Duration, is func() bool) {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < long; time.Sleep(time.Millisecond) {
		if !is() {
			t.Fatalf("%s: no longer so after %s", what, time.Since(begun))
		}
	}
}

// settled is longer than a relay must run before it acknowledges.
const settled = 6 * time.Second

func TestAFreezeGoesDownAndItsAcknowledgementUp(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a *authority) {
		n.root(t, "server", a, 0)
		n.relay(t, "relay", "s1", nil, "server")
		g, other := n.guard(t, "guard", "relay"), n.guard(t, "other", "relay")
		other.set(func(g *guard) { g.busy = true })
		eventually(t, "permits", time.Second, func() bool { return g.open() && other.open() })
		time.Sleep(settled)
		f := a.freeze()
		eventually(t, "the guards close", 50*time.Millisecond, func() bool { return !g.open() && !other.open() })
		stays(t, "a write is in flight, nothing is acknowledged", 9*time.Second, func() bool { return a.acked(f) == 0 })
		other.set(func(g *guard) { g.busy = false })
		eventually(t, "the acknowledgement", 50*time.Millisecond, func() bool { return a.acked(f) == 1 })
		a.thaw()
		eventually(t, "the guards open", 50*time.Millisecond, func() bool { return g.open() && other.open() })
		stays(t, "a permit is renewed", 20*time.Second, g.open)
	})
}

func TestARestartedRelayGrantsAtOnceAndAcknowledgesLater(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a *authority) {
		n.root(t, "server", a, 0)
		r := n.relay(t, "relay", "s1", nil, "server")
		g := n.guard(t, "guard", "relay")
		eventually(t, "a permit", time.Second, g.open)
		time.Sleep(settled)
		r.stop()
		time.Sleep(100 * time.Millisecond)
		n.relay(t, "relay", "s2", nil, "server")
		stays(t, "the guard is open all the time", 2*time.Second, g.open)
		f := a.freeze()
		eventually(t, "the guard closes", 50*time.Millisecond, func() bool { return !g.open() })
		stays(t, "not acknowledged yet", 2900*time.Millisecond, func() bool { return a.acked(f) == 0 })
		eventually(t, "the acknowledgement", 1500*time.Millisecond, func() bool { return a.acked(f) == 1 })
	})
}

func TestAGuardThatWentCountsUntilItsEnd(t *testing.T) {
	for _, released := range []bool{false, true} {
		inBubble(t, func(t *testing.T, n *network, a *authority) {
			n.root(t, "server", a, 0)
			n.relay(t, "relay", "s1", nil, "server")
			g := n.guard(t, "guard", "relay")
			eventually(t, "a permit", time.Second, g.open)
			time.Sleep(settled)
			g.mu.Lock()
			g.released = released
			g.mu.Unlock()
			g.stop()
			f := a.freeze()
			if released {
				eventually(t, "the acknowledgement", 50*time.Millisecond, func() bool { return a.acked(f) == 1 })
				return
			}
			stays(t, "not acknowledged", 3900*time.Millisecond, func() bool { return a.acked(f) == 0 })
			eventually(t, "the acknowledgement", 2500*time.Millisecond, func() bool { return a.acked(f) == 1 })
		})
	}
}

func TestAServerThatIsLostIsNotNoticedBelow(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a *authority) {
		kill := n.serveRoot(t, "near", a)
		n.root(t, "far", a, 0)
		r := n.relay(t, "relay", "s1", nil, "near", "far")
		g := n.guard(t, "guard", "relay")
		eventually(t, "a permit", time.Second, g.open)
		kill()
		stays(t, "the guard is open", 8*time.Second, g.open)
		if at := r.client.Status().Peer; at != "far" {
			t.Errorf("the relay asks %q", at)
		}
		n.serveRoot(t, "near", a)
		eventually(t, "the relay is back at the nearest", 20*time.Second, func() bool {
			return r.client.Status().Peer == "near"
		})
		stays(t, "the guard is open", 3*time.Second, g.open)
	})
}

func TestARelayThatDiesHangsOrIsCutOffIsLeft(t *testing.T) {
	for name, lose := range map[string]func(*network, *relay, *authority){
		"dies":  func(_ *network, r *relay, _ *authority) { r.stop() },
		"hangs": func(n *network, _ *relay, _ *authority) { n.hang("near") },
		"is cut off": func(n *network, _ *relay, _ *authority) {
			n.hang("server-near")
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network, a *authority) {
				n.root(t, "server-near", a, 0)
				n.root(t, "server-far", a, 0)
				near := n.relay(t, "near", "s1", nil, "server-near")
				n.relay(t, "far", "s2", nil, "server-far")
				g := n.guard(t, "guard", "near", "far")
				eventually(t, "a permit", time.Second, g.open)
				time.Sleep(settled)
				lose(n, near, a)
				shut := 0
				for begun := time.Now(); time.Since(begun) < 15*time.Second; time.Sleep(time.Millisecond) {
					if !g.open() {
						shut++
					}
				}
				// A relay that is cut off says so only when its own permit has ended: then its guards have nothing
				// left.
				if shut > 0 && name != "is cut off" || shut > 800 {
					t.Errorf("the guard was shut for %d ms", shut)
				}
				if at := g.client.Status().Peer; at != "far" {
					t.Errorf("the guard asks %q", at)
				}
			})
		})
	}
}

func TestWithoutAQuorumPermitsEndAndComeBackAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a *authority) {
		n.root(t, "server", a, 0)
		n.relay(t, "relay-1", "s1", nil, "server")
		n.relay(t, "relay-2", "s2", nil, "server")
		g := n.guard(t, "guard", "relay-1", "relay-2")
		eventually(t, "a permit", time.Second, g.open)
		a.set(func(a *authority) { a.readErr = errors.New("no quorum") })
		stays(t, "the permit goes on", 3900*time.Millisecond, g.open)
		eventually(t, "the permit ends", 1200*time.Millisecond, func() bool { return !g.open() })
		dials := n.dialed()
		stays(t, "no permit", time.Minute, func() bool { return !g.open() })
		if more := n.dialed() - dials; more > 20 {
			t.Errorf("%d connections a minute of three clients", more)
		} else {
			t.Logf("%d connections a minute of three clients", more)
		}
		a.set(func(a *authority) { a.readErr = nil })
		took := eventually(t, "a permit", 2*time.Second, g.open)
		t.Logf("a permit again %s after the quorum", took)
	})
}

func TestAClosedSessionIsReplaced(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a *authority) {
		n.root(t, "server", a, 0)
		r := n.relay(t, "relay", "s1", nil, "server")
		g := n.guard(t, "guard", "relay")
		eventually(t, "a permit", time.Second, g.open)
		time.Sleep(settled)
		for _, end := range []func(map[string]*switchover.Session, *switchover.Session){
			func(all map[string]*switchover.Session, s *switchover.Session) {
				closed := *s
				closed.Closed = true
				all[s.ID] = &closed
			},
			func(all map[string]*switchover.Session, s *switchover.Session) { delete(all, s.ID) },
		} {
			before := r.client.Status().Session
			a.commit(func(st *switchover.State) {
				all := map[string]*switchover.Session{}
				for id, s := range st.Sessions {
					all[id] = s
				}
				end(all, all[before])
				st.Sessions = all
			})
			eventually(t, "another session", 2*time.Second, func() bool { return r.client.Status().Session != before })
			stays(t, "the guard is open", 8*time.Second, g.open)
			s, _, _ := a.State()
			if now := s.Sessions[r.client.Status().Session]; now == nil || now.Center != "hz-a" || now.Closed {
				t.Errorf("the new session in the log: %+v", now)
			}
		}
	})
}

func TestManyAcknowledgementsAreFewEntries(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network, a *authority) {
		n.root(t, "server", a, 0)
		for i := range 20 {
			n.relay(t, fmt.Sprint("relay-", i), fmt.Sprint("s", i), nil, "server")
		}
		time.Sleep(settled)
		a.set(func(a *authority) { a.ackErr = errors.New("no leader") })
		f := a.freeze()
		time.Sleep(300 * time.Millisecond)
		a.set(func(a *authority) { a.ackErr = nil })
		eventually(t, "all acknowledge", 200*time.Millisecond, func() bool { return a.acked(f) == 20 })
		time.Sleep(3 * time.Second)
		a.set(func(a *authority) {
			if len(a.entries) > 2 {
				t.Errorf("%d entries for 20 acknowledgements", len(a.entries))
			}
		})
	})
}
