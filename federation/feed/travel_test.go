package feed

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestChangeTravelsFromAgentOverServersToRelay(t *testing.T) {
	a, b := startServer(t, memory(t), "127.0.0.1:0"), startServer(t, memory(t), "127.0.0.1:0")
	follow(t, a.set, b)
	follow(t, b.set, a)
	relay := memory(t)
	follow(t, relay, b, a)
	set, l := agent(t, change("a", "1"))
	pub := publish(t, set, a, b)
	all := func() bool {
		c, ok := relay.Get(l.ID())
		return equal(l, a.set, b.set, relay) && ok && !c.Stale()
	}
	eventually(t, "all hold the set", all)
	copied, _ := relay.Get(l.ID())
	cursor := copied.Cursor(copied.Position())
	defer cursor.Close()
	var took []time.Duration
	for i := range 200 {
		began := time.Now()
		l.Commit(change(fmt.Sprint(i%10), fmt.Sprint(i)))
		for copied.Position() != l.Position() {
			<-cursor.Wake()
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("to the relay: median %s, worst %s", took[100], took[199])
	a.kill() // the home: the agent fails over, the relay goes on
	began := time.Now()
	l.Commit(change("after", "x"))
	eventually(t, "the relay hears of the change over the other server", func() bool { return equal(l, b.set, relay) })
	t.Logf("over the other server after %s", time.Since(began))
	startServer(t, a.set, a.addr)
	eventually(t, "the agent returns to the nearer server", func() bool {
		s := pub.Status()
		return s[0].Active && !s[1].Active
	})
	l.Commit(change("back", "x"))
	eventually(t, "all are equal", all)
}

func TestWriterBehindItsReadersTakesHigherIncarnation(t *testing.T) {
	a, b := startServer(t, memory(t), "127.0.0.1:0"), startServer(t, memory(t), "127.0.0.1:0")
	relay := memory(t)
	follow(t, b.set, a)
	follow(t, relay, b) // so that what the relay holds is heard of over two hops
	old := relay.Log("c/reg")
	old.Begin(1<<60, []Change{change("old", "1")})
	old.Resign()
	set := memory(t)
	l := set.Log("c/reg")
	l.Begin(1<<30, []Change{change("new", "1")})
	publishWith(t, PublisherConfig{Set: set, One: peersOf(a), OnAhead: func(id ID, p Position) {
		if _, err := l.Begin(NextIncarnation(0, 0, p.Incarnation, 5), []Change{change("new", "2")}); err != nil {
			t.Error(err)
		}
	}})
	eventually(t, "the relay holds the new incarnation", func() bool {
		return l.Position().Incarnation > 1<<60 && equal(l, a.set, b.set, relay)
	})
}

func TestStaleEndsByTheWritersOwnMarkOnly(t *testing.T) {
	dir := t.TempDir()
	before := open(t, dir, nil)
	set, l := agent(t, change("a", "1"))
	a := startServer(t, memory(t), "127.0.0.1:0")
	ctx, stop := context.WithCancel(context.Background())
	pub, err := NewPublisher(PublisherConfig{
		Set: set, One: peersOf(a), OnAhead: func(ID, Position) {}, Heartbeat: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- pub.Run(ctx) }()
	follow(t, before, a)
	eventually(t, "the relay has what the writer has", func() bool {
		c, ok := before.Get(l.ID())
		return ok && equal(l, before) && !c.Stale()
	})
	if err := before.Save(l.ID()); err != nil {
		t.Fatal(err)
	}
	stop()
	<-done
	home, _ := a.set.Get(l.ID())
	eventually(t, "the writer is gone", func() bool { return !home.Home() })

	after := open(t, dir, nil)
	f := follow(t, after, a)
	c, _ := after.Get(l.ID())
	eventually(t, "the relay follows", func() bool {
		_, heard := c.Age()
		return f.Status()[0].Connected && heard
	})
	time.Sleep(300 * time.Millisecond)
	if !c.Stale() {
		t.Error("fresh without the writer")
	}
	if age, heard := c.Age(); !heard || age < 300*time.Millisecond {
		t.Errorf("age %s, heard %t", age, heard)
	}
	publish(t, set, a)
	eventually(t, "the writer's mark ends stale", func() bool { return !c.Stale() })
	eventually(t, "its age counts from that mark", func() bool {
		age, _ := c.Age()
		return age <= time.Second
	})
}

func TestRelayHearsItsAgentWithoutAnyServer(t *testing.T) {
	relay := startServer(t, memory(t), "127.0.0.1:0")
	nobody := &server{addr: "127.0.0.1:1"}
	follow(t, relay.set, nobody)
	set, l := agent(t, change("a", "1"))
	pub := publishWith(t, PublisherConfig{
		Set: set, One: peersOf(nobody), Each: []Peer{{Name: "relay", Address: relay.addr}}, OnAhead: func(ID, Position) {},
	})
	eventually(t, "the relay holds the feed", func() bool { return equal(l, relay.set) })
	eventually(t, "the status says why the server is not reached", func() bool {
		s := pub.Status()
		return !s[0].Connected && strings.Contains(s[0].Error, "refused") && s[1].Connected
	})
}

func TestRelayFollowsIntentFromAnyServerAndIsNeverAskedForIt(t *testing.T) {
	var servers []*server
	var intents []*Log
	for range 2 {
		s := startServer(t, memory(t), "127.0.0.1:0")
		l := NewLog(IntentID, Filter{}, Options{})
		s.set.Add(l)
		l.CommitAt(Position{1, 5}, change("a", "5"))
		servers, intents = append(servers, s), append(intents, l)
	}
	relay := memory(t)
	f := followWith(t, FollowerConfig{
		Set: relay, Peers: peersOf(servers...), Want: func(ID) (Filter, bool) { return Filter{}, true },
	})
	eventually(t, "the relay has the intent", func() bool { return equal(intents[0], relay) })
	c, _ := relay.Get(IntentID)
	eventually(t, "it is confirmed", func() bool { return !c.Stale() })
	intents[1].CommitAt(Position{1, 9}, gone("a")) // the first server lags: the second announces more
	eventually(t, "the relay hears the later revision", func() bool { return equal(intents[1], relay) })
	intents[0].CommitAt(Position{1, 7}, change("b", "7"))
	intents[0].CommitAt(Position{1, 9}, gone("b"))
	intents[0].CommitAt(Position{1, 10}, change("c", "10"))
	eventually(t, "the relay goes on with the nearest", func() bool { return equal(intents[0], relay) })
	eventually(t, "the nearest is connected", func() bool { return f.Status()[0].Connected })
}

func TestWriterThatResignsWithdrawsItsFeed(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		server := memory(t)
		b.serve(t, "a", server)
		set, l := agent(t, change("a", "1"))
		pub := publishWith(t, PublisherConfig{Set: set, One: peersNamed("a"), Dialer: b.dial, OnAhead: func(id ID, p Position) {
			t.Errorf("%s: a reader is at %s", id, p)
		}})
		var home *Log
		eventually(t, "the server is the home", func() (ok bool) {
			home, ok = server.Get(l.ID())
			return ok && home.Home() && equal(l, server)
		})
		l.Resign()
		eventually(t, "it is not any more, and keeps the feed", func() bool { return !home.Home() && home.Len() == 1 })
		if _, err := l.Begin(l.Position().Incarnation+1, []Change{change("b", "1")}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is again", func() bool { return home.Home() && equal(l, server) })
		if !pub.Status()[0].Connected {
			t.Error("the stream broke")
		}
	})
}
