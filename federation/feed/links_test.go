package feed

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"
)

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
