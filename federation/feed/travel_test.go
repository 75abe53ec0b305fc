package feed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
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

func TestServerThatIsReplacedIsFoundAgainAtOnce(t *testing.T) {
	a := startServer(t, memory(t), "127.0.0.1:0")
	l := a.set.Log("c/reg")
	l.Begin(1, []Change{change("a", "1")})
	relay := memory(t)
	f := follow(t, relay, a)
	eventually(t, "the relay follows", func() bool { return equal(l, relay) })
	for round := range 3 {
		a.kill()
		eventually(t, "the relay notices", func() bool { return !f.Status()[0].Connected })
		time.Sleep(time.Duration(round) * 200 * time.Millisecond)
		next := memory(t)
		l = next.Log("c/reg")
		l.Begin(uint64(round+2), []Change{change("a", fmt.Sprint(round))})
		a = startServer(t, next, a.addr)
		began := time.Now()
		eventually(t, "the relay has the new server's set", func() bool { return equal(l, relay) })
		t.Logf("found after %s", time.Since(began))
	}
}

// stall is a dialer whose connections to one address can be made to carry nothing, without breaking.
type stall struct {
	address string
	gate    sync.RWMutex
}

func (s *stall) dial(ctx context.Context, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil || address != s.address {
		return c, err
	}
	return &stalled{Conn: c, stall: s}, nil
}

type stalled struct {
	net.Conn
	stall *stall
}

func (c *stalled) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.stall.gate.RLock()
	defer c.stall.gate.RUnlock()
	return n, err
}

func TestStarvedLinkToTheHomeIsNoticedByAnothersAnnouncements(t *testing.T) {
	a, b := startServer(t, memory(t), "127.0.0.1:0"), startServer(t, memory(t), "127.0.0.1:0")
	follow(t, b.set, a)
	set, l := agent(t, change("a", "1"))
	publish(t, set, a)
	relay := memory(t)
	s := &stall{address: a.addr}
	f := followWith(t, FollowerConfig{Set: relay, Peers: peersOf(a, b), Dialer: s.dial})
	eventually(t, "the relay follows the home", func() bool {
		st := f.Status()
		return equal(l, relay) && st[1].Connected && len(st[0].Feeds) == 1 && st[0].Feeds[0].Open
	})
	s.gate.Lock()
	l.Commit(change("a", "2"))
	eventually(t, "the relay hears of the change", func() bool { return equal(l, relay) })
	eventually(t, "the silent connection is given up", func() bool { return !f.Status()[0].Connected })
	s.gate.Unlock()
	eventually(t, "the relay is back at the home", func() bool { return f.Status()[0].Connected })
}

func TestOnlyTheNearestThatAnswerAreConnected(t *testing.T) {
	var servers []*server
	for range 3 {
		servers = append(servers, startServer(t, memory(t), "127.0.0.1:0"))
	}
	f := followWith(t, FollowerConfig{Set: memory(t), Peers: peersOf(servers...), Connections: 2})
	connected := func(want ...bool) func() bool {
		return func() bool {
			for i, s := range f.Status() {
				if s.Connected != want[i] {
					return false
				}
			}
			return true
		}
	}
	eventually(t, "two are connected", connected(true, true, false))
	servers[0].kill()
	eventually(t, "the third takes over", connected(false, true, true))
	startServer(t, servers[0].set, servers[0].addr)
	eventually(t, "the third is left", connected(true, true, false))
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
	if age, _ := c.Age(); age > time.Second {
		t.Errorf("age %s", age)
	}
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

func TestServiceTakesOnlyWhatItMay(t *testing.T) {
	forbidden := errors.New("not your cluster")
	a := startServer(t, memory(t), "127.0.0.1:0", func(c *ServiceConfig) {
		c.Authorize = func(_ context.Context, id ID) error {
			if id == "other/reg" {
				return forbidden
			}
			return nil
		}
		c.AuthorizeRead = func(_ context.Context, id ID) error {
			if id == "c/secret" {
				return forbidden
			}
			return nil
		}
		c.Clock = func() time.Time { return time.UnixMilli(1000) }
	})
	set := memory(t)
	for id, inc := range map[ID]uint64{"c/reg": 5, "c/secret": 5, "other/reg": 5, IntentID: 5, "c/future": 1 << 50} {
		set.Log(id).Begin(inc, []Change{change("a", "1")})
	}
	pub := publish(t, set, a)
	refused := func() map[ID]string {
		m := map[ID]string{}
		for _, f := range pub.Status()[0].Feeds {
			if f.Refused != "" {
				m[f.ID] = f.Refused
			}
		}
		return m
	}
	eventually(t, "three are refused", func() bool { return len(refused()) == 3 })
	for id, want := range map[ID]string{
		"other/reg": "not your cluster", IntentID: "never published", "c/future": "ahead of this server's clock",
	} {
		if got := refused()[id]; !strings.Contains(got, want) {
			t.Errorf("%s: refused %q, want %q", id, got, want)
		}
		if l, ok := a.set.Get(id); ok && !l.Position().IsZero() {
			t.Errorf("%s was taken", id)
		}
	}
	relay := memory(t)
	followWith(t, FollowerConfig{Set: relay, Peers: peersOf(a), Want: func(ID) (Filter, bool) { return Filter{}, true }})
	l, _ := set.Get("c/reg")
	eventually(t, "the relay reads what it may", func() bool { return equal(l, relay) })
	if _, ok := relay.Get("c/secret"); ok {
		t.Error("the relay reads what it may not")
	}
}

func TestRejectionIsReportedAndTheRecordPassedOn(t *testing.T) {
	a := startServer(t, memory(t), "127.0.0.1:0", func(c *ServiceConfig) {
		c.Validator = func(_ ID, r *Record) error {
			if string(r.Value) == "bad" {
				return errors.New("port: 0: must be 1 to 65535")
			}
			return nil
		}
	})
	relay := memory(t)
	follow(t, relay, a)
	set, l := agent(t, change("a", "good"), change("b", "bad"))
	told := make(chan Rejection, 10)
	pub := publishWith(t, PublisherConfig{
		Set: set, One: peersOf(a), OnAhead: func(ID, Position) {},
		OnRejected: func(peer string, id ID, rs []Rejection) { told <- rs[0] },
	})
	if r := <-told; r.Key != "b" || r.Reason != "port: 0: must be 1 to 65535" || r.At != l.Position() {
		t.Errorf("told %+v", r)
	}
	eventually(t, "everybody holds the rejected record too", func() bool { return equal(l, a.set, relay) })
	if f := pub.Status()[0].Feeds[0]; f.Rejected != 1 || len(f.Rejections) != 1 {
		t.Errorf("status %+v", f)
	}
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
	if !f.Status()[0].Connected {
		t.Error("the nearest is not connected")
	}
}

func TestWriterThatResignsWithdrawsItsFeed(t *testing.T) {
	a := startServer(t, memory(t), "127.0.0.1:0")
	set, l := agent(t, change("a", "1"))
	pub := publish(t, set, a)
	var home *Log
	eventually(t, "the server is the home", func() (ok bool) {
		home, ok = a.set.Get(l.ID())
		return ok && home.Home() && equal(l, a.set)
	})
	l.Resign()
	eventually(t, "it is not any more, and keeps the feed", func() bool { return !home.Home() && home.Len() == 1 })
	if _, err := l.Begin(l.Position().Incarnation+1, []Change{change("b", "1")}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is again", func() bool { return home.Home() && equal(l, a.set) })
	if !pub.Status()[0].Connected {
		t.Error("the stream broke")
	}
}
