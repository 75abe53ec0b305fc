package consensus

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// returnsAfterLong keeps a member away until a replication that doubles its wait would have the next attempt more than
// a second away, lets it come back, and counts the heartbeats that it answers before it is sent an entry.
func returnsAfterLong(t *testing.T, p plants) error {
	c := newCluster(t, 3, func(_ int, cfg *Config) {
		cfg.break_ = p
		cfg.HeartbeatTimeout = 2 * time.Second // another leader would begin with short waits
	})
	defer c.drop()
	away := c.others(c.leader())[0]
	var cut atomic.Bool
	var vain, heartbeats, served atomic.Int64
	c.links.set(func(from, to string, req any, answer bool) error {
		switch {
		case from == away.id || to != away.id:
			if cut.Load() && from == away.id {
				return errCut
			}
			return nil
		case cut.Load():
			if hasEntries(req) {
				vain.Add(1)
			}
			if bare(req) {
				heartbeats.Add(1)
			}
			return errCut
		case answer && bare(req) && served.Load() == 0:
			heartbeats.Add(1)
		case hasEntries(req):
			served.Add(1)
		}
		return nil
	})
	c.put("k", "1")
	cut.Store(true)
	_, index := c.put("k", "2", away)
	const attempts = 13 // the last wait is 10 s, in which come more than 30 heartbeats
	eventually(t, "the member is away for long", func() bool {
		return vain.Load() >= attempts || heartbeats.Load() >= 8 && !p.stockBackoff
	})
	tried := vain.Load()
	served.Store(0)
	heartbeats.Store(0)
	cut.Store(false)
	eventually(t, "the member is served", func() bool { return served.Load() > 0 })
	if n := heartbeats.Load(); n > 8 {
		return fmt.Errorf("after %d attempts in vain the member answered %d heartbeats before it was sent an entry", tried, n)
	}
	if err := away.node.WaitApplied(timeout(t, time.Minute), index); err != nil {
		t.Error(err)
	}
	return nil
}

func TestWaitForAMemberEnds(t *testing.T) {
	const term = 7
	for name, end := range map[string]func(c *contacts, useless *atomic.Bool, closed chan struct{}){
		"with an answer":         func(c *contacts, _ *atomic.Bool, _ chan struct{}) { c.answered("n2", term, 0) },
		"with a later term":      func(c *contacts, _ *atomic.Bool, _ chan struct{}) { c.failed("n2", term+1) },
		"when it became useless": func(c *contacts, u *atomic.Bool, _ chan struct{}) { u.Store(true); c.failed("n2", term) },
		"with the transport":     func(_ *contacts, _ *atomic.Bool, closed chan struct{}) { close(closed) },
	} {
		c, closed := newContacts(), make(chan struct{})
		var useless atomic.Bool
		c.await("n2", term, func() bool { return false }, time.Hour, closed) // nothing is known against it
		c.failed("n2", term)
		var waits sync.WaitGroup
		for range 3 {
			waits.Go(func() { c.await("n2", term, useless.Load, time.Hour, closed) })
		}
		eventually(t, "they wait", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.peers["n2"].changed != nil
		})
		c.failed("n2", term-1) // of a term that is over
		c.answered("n3", term, 0)
		end(c, &useless, closed)
		ended := make(chan struct{})
		go func() { waits.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(time.Minute):
			t.Errorf("%s: still waits", name)
		}
	}
}

// A follower whose disk is full takes entries soon after there is room again, however often it had to refuse them.
func TestFullFollowerHeals(t *testing.T) {
	c := newCluster(t, 3, nil)
	l, _ := c.put("k", "0")
	f := c.others(l)[0]
	var refused atomic.Int64
	f.fs.(*memFS).setHook(func(op, name string) error {
		if op == "write" && strings.HasSuffix(name, ".wal") {
			refused.Add(1)
			return syscall.ENOSPC
		}
		return nil
	})
	var index uint64
	for i := range 10 {
		_, index = c.putElsewhere(f, "k", fmt.Sprint(i))
	}
	eventually(t, "it refused often", func() bool { return refused.Load() >= 12 })
	f.fs.(*memFS).setHook(nil)
	if err := f.node.WaitApplied(timeout(t, time.Minute), index); err != nil {
		t.Fatal(err)
	}
	if len(f.fatal) > 0 {
		t.Errorf("a full disk ended the process: %v", <-f.fatal)
	}
	if got := f.machine.get("k"); got != "9" {
		t.Errorf("k = %q, want 9", got)
	}
}
