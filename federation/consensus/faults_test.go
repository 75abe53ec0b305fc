package consensus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// fill lets a member's log find no room; the function that it returns gives room again.
func fill(m *member, refused *atomic.Int64) {
	m.fs.(*memFS).setHook(func(op, name string) error {
		if (op == "write" || op == "create") && strings.HasSuffix(name, ".wal") {
			refused.Add(1)
			return syscall.ENOSPC
		}
		return nil
	})
}

// A full disk at the leader refuses the write, certainly and at once; the others go on. There is room again, and it
// takes part again.
func TestFullLeaderRefusesAndHeals(t *testing.T) {
	c := newCluster(t, 3, nil)
	var refused atomic.Int64
	var full *member
	for {
		full, _ = c.put("k", "1")
		fill(full, &refused)
		_, _, err := full.node.Propose(timeout(t, time.Minute), command{"k", "refused"}.encode())
		if errors.Is(err, ErrDiskFull) && errors.Is(err, syscall.ENOSPC) {
			break
		}
		full.fs.(*memFS).setHook(nil)
		if !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrOutcomeUnknown) { // a slow machine lost its leader
			t.Fatalf("write on a full disk: %v, want %v", err, ErrDiskFull)
		}
	}
	c.put("k", "2", full)
	full.fs.(*memFS).setHook(nil)
	_, index := c.put("k", "3")
	if err := full.node.WaitApplied(timeout(t, time.Minute), index); err != nil {
		t.Fatal(err)
	}
	if got := full.machine.get("k"); got != "3" || len(full.fatal) > 0 {
		t.Errorf("k = %q, want 3; %d fatal", got, len(full.fatal))
	}
}

// standsThoughFull fills the leader's disk and looks whether it asks for votes before it can know of room.
func standsThoughFull(t *testing.T, p plants) error {
	c := newCluster(t, 3, func(_ int, cfg *Config) { cfg.break_ = p })
	defer c.drop()
	full, _ := c.put("k", "1")
	var refused, stood atomic.Int64
	c.links.set(func(from, _ string, req any, answer bool) error {
		if _, asks := req.(*raft.RequestPreVoteRequest); asks && from == full.id && !answer &&
			full.node.folder.store.fullLately(4*full.node.cfg.HeartbeatTimeout) && // and not since it was decided to stand
			!full.node.folder.store.fullLately(full.node.cfg.HeartbeatTimeout/2) {
			stood.Add(1)
		}
		if _, asks := req.(*raft.RequestPreVoteRequest); asks && from != full.id && p.standThoughFull {
			return errCut // or another would lead before it asks
		}
		return nil
	})
	fill(full, &refused)
	full.node.Propose(timeout(t, time.Minute), command{"k", "refused"}.encode())
	if p.standThoughFull {
		eventually(t, "somebody stands", func() bool { return stood.Load() > 0 || refused.Load() == 0 })
	} else {
		c.put("k", "2", full)
	}
	full.fs.(*memFS).setHook(nil)
	if n := stood.Load(); n > 0 {
		return fmt.Errorf("a node whose disk is full asked for votes %d times", n)
	}
	return nil
}

// With every disk full no write hangs and none is lost or made twice; when there is room again they go on by themselves.
func TestAllFullRefuseAndHeal(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.put("k", "1")
	var refused atomic.Int64
	for _, m := range c.members {
		fill(m, &refused)
	}
	certain := 0
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end) || refused.Load() < 5; {
		for _, m := range c.members {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			_, _, err := m.node.Propose(ctx, command{"k", "refused"}.encode())
			switch {
			case err == nil || ctx.Err() != nil:
				t.Fatalf("%s: a write on full disks: %v", m.id, err)
			case errors.Is(err, ErrDiskFull) || errors.Is(err, ErrNotLeader):
				certain++
			}
			cancel()
		}
		time.Sleep(5 * time.Millisecond)
	}
	if certain == 0 {
		t.Error("no write was refused for certain")
	}
	for _, m := range c.members {
		m.fs.(*memFS).setHook(nil)
	}
	l, _ := c.put("j", "2")
	if got := l.machine.get("k"); got != "1" {
		t.Errorf("k = %q, want 1", got)
	}
	for _, m := range c.members {
		if len(m.fatal) > 0 {
			t.Errorf("%s ended: %v", m.id, <-m.fatal)
		}
	}
}

// syncFails has every disk fail to sync what is written from now on, and then loses the power.
func syncFails(t *testing.T, p plants) error {
	c := newCluster(t, 3, func(_ int, cfg *Config) { cfg.break_ = p })
	defer c.drop()
	l, _ := c.put("x", "7")
	for _, m := range c.members {
		m.fs.(*memFS).setHook(func(op, _ string) error {
			if op == "sync" {
				return syscall.EIO
			}
			return nil
		})
	}
	_, _, err := l.node.Propose(timeout(t, time.Minute), command{"x", "8"}.encode())
	acknowledged := err == nil
	if !p.forgiveSync {
		if !errors.Is(err, ErrOutcomeUnknown) && !errors.Is(err, ErrNotLeader) {
			t.Errorf("write on a disk that cannot sync: %v", err)
		}
		eventually(t, "the process that wrote ends", func() bool {
			for _, m := range c.members {
				if len(m.fatal) > 0 {
					return true
				}
			}
			return false
		})
	}
	for _, m := range c.members {
		m.fs.(*memFS).powerCut(nil)
	}
	for _, m := range c.members {
		c.stop(m)
	}
	for _, m := range c.members {
		c.start(m)
	}
	if v := c.leader().machine.get("x"); acknowledged && v != "8" {
		return fmt.Errorf("x=%s after 8 was acknowledged, its sync failed, and the power was cut", v)
	} else if v != "7" && v != "8" {
		t.Errorf("x = %q, want 7 or 8", v)
	}
	return nil
}

// readAfterTransfer has n1 hand its leadership over without hearing that it arrived. Answers to heartbeats that it sent
// before are on their way.
func readAfterTransfer(t *testing.T, p plants) error {
	c := newStaleCluster(t, p)
	defer c.drop()
	heir := c.others(c.old)[0]
	// Raft hands over to who has confirmed everything, and answers are about to be held back.
	eventually(t, "the heir has everything", func() bool { return held(c.old, heir) == held(c.old, c.old) })
	released := false
	defer func() {
		if !released {
			close(c.release)
		}
	}()
	if !c.holdAnswers() {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	handed := make(chan error, 1)
	go func() { handed <- c.old.node.TransferLeadership(ctx, heir.id) }()
	eventually(t, "the leadership is handed over, or taken", func() bool {
		return slices.ContainsFunc(c.others(c.old), func(m *member) bool { return m.node.IsLeader() })
	})
	c.overtake()
	result := c.read(timeout(t, p.patience(2*time.Second, 10*time.Second)))
	close(c.release)
	released = true
	err := stale(t, result)
	cancel()
	<-handed
	return err
}
