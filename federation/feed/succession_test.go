package feed

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
)

// TestServerThatRefusesAFeedKeepsItFromNobody: one server takes less than the others do, as while it is cut off from them
// or its clock is wrong. The next one is published to as well, until the nearest takes all again.
func TestServerThatRefusesAFeedKeepsItFromNobody(t *testing.T) {
	var refuses atomic.Bool
	refuses.Store(true)
	near := startServer(t, memory(t), "127.0.0.1:0", func(c *ServiceConfig) {
		c.Authorize = func(_ context.Context, id ID) error {
			if refuses.Load() && id == "c/reg" {
				return errors.New("cluster c was deleted")
			}
			return nil
		}
	})
	far := startServer(t, memory(t), "127.0.0.1:0")
	set, l := agent(t, change("a", "1"))
	other := set.Log("c/other")
	other.Begin(5, []Change{change("b", "1")})
	pub := publish(t, set, near, far)
	home := func(s *server) bool {
		l, ok := s.set.Get("c/reg")
		return ok && l.Home()
	}
	eventually(t, "the farther one takes what the nearest refuses", func() bool {
		return equal(l, far.set) && equal(other, near.set) && home(far)
	})
	refuses.Store(false)
	near.service.Reconsider(func(ID) bool { return true })
	eventually(t, "the nearest takes it, and the other is left", func() bool {
		return equal(l, near.set) && home(near) && !home(far)
	})
	refuses.Store(true)
	if err := near.set.Remove("c/reg"); err != nil {
		t.Fatal(err)
	}
	l.Commit(change("a", "2"))
	eventually(t, "the farther one takes it again", func() bool { return equal(l, far.set) && home(far) && !home(near) })
	eventually(t, "both are connected", func() bool { s := pub.Status(); return s[0].Connected && s[1].Connected })
}
