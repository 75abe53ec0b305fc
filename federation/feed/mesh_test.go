package feed

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// patient is above what the package's own clocks add up to: an unheard stream ends after four heartbeats, patience is
// two seconds.
const patient = 20 * time.Second

func TestHomeDiesAndTheWriterMoves(t *testing.T) {
	inEstate(t, func(e *estate) {
		servers := e.mesh()
		agent := e.start("agent", peersNamed(serverNames...))
		relays := []*site{
			e.start("r0", nil, "s0", "s1"), e.start("r1", nil, "s4", "s3", "s2", "s1", "s0"), e.start("r2", nil, "s3"),
		}
		l := agent.write("c/x", manyChanges(100, nil))
		all := append(relays, servers...)
		e.within(patient, "at first", l, all...)
		if home, _ := servers[0].set.Get("c/x"); !home.Home() {
			t.Error("the nearest server is not the home")
		}
		servers[0].stop()
		l.Commit(change("a", "1"))
		e.within(patient, "after the home's death", l, append(relays, servers[1:]...)...)
		if home, _ := servers[1].set.Get("c/x"); !home.Home() {
			t.Error("the next server is not the home")
		}
		servers[0] = e.server("s0")
		l.Commit(change("a", "2"))
		e.within(patient, "when it is back", l, append(relays, servers...)...)
	})
}

// TestHighestPeerServesAFeedWhoseHomeDied leaves the last change at one server only when home and writer die.
func TestHighestPeerServesAFeedWhoseHomeDied(t *testing.T) {
	inEstate(t, func(e *estate) {
		servers := e.mesh()
		agent := e.start("agent", peersNamed("s0"))
		relays := []*site{e.start("r0", nil, serverNames...), e.start("r1", nil, "s4"), e.start("r2", nil, "s2", "s1")}
		l := agent.write("c/x", manyChanges(100, nil))
		e.within(patient, "at first", l, append(relays, servers...)...)
		for _, other := range []string{"s2", "s3", "s4", "r0"} {
			e.sever("s0", other)
			e.sever("s1", other)
		}
		e.sever("r2", "s1")
		time.Sleep(10 * time.Second)
		l.Commit(change("last", "1"))
		e.within(patient, "at the home and one more", l, servers[0], servers[1])
		agent.stop()
		servers[0].stop()
		time.Sleep(10 * time.Second)
		if c, _ := servers[3].set.Get("c/x"); c.Position() == l.Position() {
			t.Fatal("the cut does not hold")
		}
		e.heal()
		e.within(patient, "all that are left", l, append(relays, servers[1:]...)...)
	})
}

// TestThreeOfFiveServersDead: discovery does not wait for a quorum.
func TestThreeOfFiveServersDead(t *testing.T) {
	inEstate(t, func(e *estate) {
		servers := e.mesh()
		agents := []*site{e.start("a0", peersNamed(serverNames...)), e.start("a1", peersNamed("s4", "s0"))}
		relays := []*site{
			e.start("r0", nil, serverNames...), e.start("r1", nil, "s1", "s4"), e.start("r2", nil, "s3", "s0"),
		}
		lonely := e.start("r3", nil, "s0", "s1")
		l0, l1 := agents[0].write("c0/x", manyChanges(100, nil)), agents[1].write("c1/x", manyChanges(100, nil))
		for _, l := range []*Log{l0, l1} {
			e.within(patient, "at first", l, append(append(relays, lonely), servers...)...)
		}
		was := l0.Position()
		for _, s := range servers[:3] {
			s.stop()
		}
		l0.Commit(change("after", "1"))
		l1.Commit(change("after", "1"))
		for _, l := range []*Log{l0, l1} {
			e.within(patient, "after the death of three", l, append(relays, servers[3:]...)...)
		}
		if c, ok := lonely.set.Get("c0/x"); !ok || c.Position() != was || c.Len() != 100 {
			t.Errorf("the relay without a path has %v", c)
		}
		servers[0] = e.server("s0")
		e.within(patient, "a path is back", l0, lonely)
	})
}

// TestCutLinksStarveNobody cuts links between servers, one way and both, in all ways that leave a path.
func TestCutLinksStarveNobody(t *testing.T) {
	for _, c := range []struct {
		name string
		cut  func(*estate)
	}{
		{"home and one", func(e *estate) { e.sever("s0", "s1") }},
		{"from the home, one way", func(e *estate) { e.cut("s0", "s1") }},
		{"to the home, one way", func(e *estate) { e.cut("s1", "s0") }},
		{"home and all but one", func(e *estate) { e.sever("s0", "s1"); e.sever("s0", "s3"); e.sever("s0", "s4") }},
		{"a chain is left", func(e *estate) {
			for i := range 5 {
				for j := i + 2; j < 5; j++ {
					e.sever(serverNames[i], serverNames[j])
				}
			}
		}},
		{"a chain is left, one way", func(e *estate) {
			for i := range 5 {
				for j := i + 2; j < 5; j++ {
					e.cut(serverNames[i], serverNames[j])
				}
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inEstate(t, func(e *estate) {
				servers := e.mesh()
				agent := e.start("agent", peersNamed("s0"))
				relays := []*site{e.start("r0", nil, "s1"), e.start("r1", nil, "s4")}
				l := agent.write("c/x", manyChanges(20, nil))
				all := append(relays, servers...)
				e.within(patient, "at first", l, all...)
				c.cut(e)
				l.Commit(change("a", "1"))
				e.within(patient, "right after the cut", l, all...)
				time.Sleep(time.Minute)
				l.Commit(change("a", "2"))
				e.within(patient, "a minute later", l, all...)
				if c, _ := relays[1].set.Get("c/x"); c.Stale() {
					t.Error("stale")
				}
				if age, _ := age(relays[1], l); age > patient {
					t.Errorf("the writer lives, and seems %s old", age)
				}
				e.heal()
				l.Commit(change("a", "3"))
				e.within(patient, "when it is mended", l, all...)
			})
		})
	}
}

func age(s *site, l *Log) (time.Duration, bool) {
	c, ok := s.set.Get(l.ID())
	if !ok {
		return 0, false
	}
	return c.Age()
}

// TestAllRestartedFromDisk: nobody shows nothing or goes back, everybody is stale until the writer is heard, and the
// wire carries what differs.
func TestAllRestartedFromDisk(t *testing.T) {
	inEstate(t, func(e *estate) {
		names := []string{"r0", "r1", "r2"}
		startRelays := func() (relays []*site) {
			for i, name := range names {
				relays = append(relays, e.start(name, nil, serverNames[i], serverNames[i+1], serverNames[i+2]))
			}
			return relays
		}
		servers, relays := e.mesh(), startRelays()
		agent := e.start("agent", peersNamed(serverNames...))
		whole := manyChanges(2000, nil)
		l := agent.write("c/x", whole)
		e.within(patient, "at first", l, append(relays, servers...)...)
		first := e.bytes.Load()
		time.Sleep(10 * time.Second) // the last snapshots are written
		e.disk = e.disk.afterPowerCut()
		for _, s := range append(relays, servers...) {
			s.stop()
		}
		agent.stop()

		servers, relays = e.mesh(), startRelays()
		all := append(relays, servers...)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for _, s := range all {
			c, ok := s.set.Get("c/x")
			if !ok || c.Len() != 2000 || !c.Stale() {
				t.Errorf("%s without the writer: %v, stale %t", s.name, c, ok && c.Stale())
			}
		}
		idle := e.bytes.Load()
		agent = e.start("agent anew", peersNamed(serverNames...)) // its source answers in full: one differs
		whole[7].Value = []byte("changed meanwhile")
		l = agent.write("c/x", whole)
		e.within(patient, "all", l, all...)
		time.Sleep(3 * time.Second)
		for _, s := range all {
			if c, _ := s.set.Get("c/x"); c.Stale() {
				t.Errorf("%s is stale with the writer there", s.name)
			}
		}
		again := e.bytes.Load() - idle
		t.Logf("to all eight at first %d bytes, after the restart %d", first, again)
		if again*5 > first {
			t.Errorf("a restart moves %d bytes, the whole set moved %d", again, first)
		}
	})
}

// TestReconnectMovesOnlyWhatDiffers cuts a relay off, changes one of many records, and mends the link: by deltas, and
// after the writer's restart by digests.
func TestReconnectMovesOnlyWhatDiffers(t *testing.T) {
	inEstate(t, func(e *estate) {
		server := e.start("s0", nil)
		agent := e.start("agent", peersNamed("s0"))
		l := agent.write("c/x", manyChanges(5000, nil))
		e.within(patient, "the server", l, server)
		base := e.bytes.Load()
		relay := e.start("r0", nil, "s0")
		e.within(patient, "the relay", l, relay)
		whole := e.bytes.Load() - base
		for round := range 2 {
			e.sever("r0", "s0")
			time.Sleep(10 * time.Second)
			if round == 0 {
				l.Commit(Change{"EndpointSlice", "s7/0", []byte(fmt.Sprint("changed ", round))})
			} else {
				next := manyChanges(5000, nil)
				next[7].Value = []byte("changed again")
				agent.write("c/x", next)
			}
			e.within(patient, "the server", l, server)
			base = e.bytes.Load()
			e.heal()
			e.within(patient, "the relay", l, relay)
			again := e.bytes.Load() - base
			t.Logf("round %d: at first %d bytes, again %d", round, whole, again)
			if again*20 > whole {
				t.Errorf("round %d: one record differs, moved %d bytes, the whole set is %d", round, again, whole)
			}
		}
	})
}

// TestChangeWaitsForNoClock lets a change travel from an agent over two servers to relays: not a millisecond passes.
func TestChangeWaitsForNoClock(t *testing.T) {
	inEstate(t, func(e *estate) {
		servers := e.mesh()
		agent := e.start("agent", peersNamed("s0"))
		relays := []*site{e.start("r0", nil, "s0"), e.start("r1", nil, "s4")}
		l := agent.write("c/x", manyChanges(10, nil))
		all := append(relays, servers...)
		e.within(patient, "at first", l, all...)
		for i := range 100 {
			time.Sleep(777 * time.Millisecond)
			l.Commit(change("a", fmt.Sprint(i)))
			synctest.Wait()
			for _, s := range all {
				if !equal(l, s.set) {
					t.Fatalf("change %d: %s waits for something", i, s.name)
				}
			}
		}
	})
}

// TestServerIsFoundAgainWithinTheRetry replaces a server after pauses of any length.
func TestServerIsFoundAgainWithinTheRetry(t *testing.T) {
	inEstate(t, func(e *estate) {
		server := e.start("s0", nil)
		l := server.write("c/x", nil)
		relay := e.start("r0", nil, "s0")
		e.within(patient, "at first", l, relay)
		for round := range 10 {
			server.stop()
			time.Sleep(time.Duration(round) * 700 * time.Millisecond)
			server = e.start("s0", nil)
			l = server.write("c/x", []Change{change("a", fmt.Sprint(round))})
			e.within(2*retryMost, "found again", l, relay)
		}
	})
}

// TestStarvedLinkIsLeftBeforeItBreaks: the second stream comes after patience, not after the silence that ends a stream.
func TestStarvedLinkIsLeftBeforeItBreaks(t *testing.T) {
	inEstate(t, func(e *estate) {
		e.mesh()
		agent := e.start("agent", peersNamed("s0"))
		relay := e.start("r0", nil, serverNames...)
		l := agent.write("c/x", nil)
		e.within(patient, "at first", l, relay)
		time.Sleep(5 * time.Second)
		e.cut("s0", "r0")
		l.Commit(change("a", "1"))
		e.within(silence(defaultHeartbeat)-time.Second/2, "over another server", l, relay)
	})
}
