package consensus

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// writable says whether a write is acknowledged. Whoever must fail it needs to wait out the patience.
func (c *cluster) writable(patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var err error
	for ctx.Err() == nil {
		for _, m := range c.members {
			if m.cancel == nil || !m.node.IsLeader() {
				continue
			}
			if _, _, err = m.node.Propose(ctx, command{"w", "1"}.encode()); err == nil {
				return nil
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("no write was acknowledged for %v: %v", patience, err)
}

// promoteTheDead promotes a replica that does not run. Beside the only voter its vote would be needed for everything.
func promoteTheDead(t *testing.T, p plants) error {
	c := newClusterOf(t, 2, 1, func(_ int, cfg *Config) { cfg.break_ = p })
	defer c.drop()
	c.put("k", "1")
	dead := c.members[1]
	c.stop(dead)
	c.add(dead)
	if p.changeBlindly = p.promoteAnyone; p.changeBlindly {
		c.members[0].node.cfg.break_.changeBlindly = true // or the look at the majority would find it
	}
	err := c.members[0].node.Promote(timeout(t, p.patience(time.Minute, time.Second)), dead.id)
	if !p.promoteAnyone && !errors.Is(err, ErrLagging) {
		t.Errorf("promotion of a replica that does not run: %v, want %v", err, ErrLagging)
	}
	return c.writable(p.patience(time.Minute, 3*time.Second))
}

// removeTheLiving takes a voter out of three of which one is dead.
func removeTheLiving(t *testing.T, p plants) error {
	c := newCluster(t, 3, func(_ int, cfg *Config) { cfg.break_ = p })
	defer c.drop()
	l, _ := c.put("k", "1")
	dead, living := c.others(l)[0], c.others(l)[1]
	c.stop(dead)
	c.silent(dead)
	if l = c.leader(); l == living {
		living = c.others(dead, l)[0]
	}
	if err := l.node.Remove(timeout(t, time.Minute), living.id); !p.changeBlindly && !errors.Is(err, ErrUnhealthy) &&
		!errors.Is(err, ErrNotLeader) {
		t.Errorf("removal of a voter that is needed: %v, want %v", err, ErrUnhealthy)
	}
	return c.writable(p.patience(time.Minute, 3*time.Second))
}

// readAfterGrowth has three voters become five, and cuts the leader off with one of the first: enough of three, and not
// of five.
func readAfterGrowth(t *testing.T, p plants) error {
	c := newClusterOf(t, 5, 3, func(i int, cfg *Config) {
		cfg.Voters = cfg.Voters[:3]
		if i == 0 {
			cfg.break_ = p
			cfg.HeartbeatTimeout = time.Hour // it never notices by itself
			cfg.RPCTimeout = time.Minute
		}
	})
	defer c.drop()
	c.put("x", "6")
	for _, m := range c.members[3:] {
		c.add(m)
		c.promote(m)
	}
	old, with := c.members[0], c.members[1]
	for led := false; !led; {
		c.handOver(old)
		_, _, err := old.node.Propose(timeout(t, time.Second), command{"x", "7"}.encode())
		led = err == nil
	}
	side := func(id string) bool { return id == old.id || id == with.id }
	c.links.set(func(from, to string, _ any, _ bool) error {
		if side(from) != side(to) || from == with.id {
			return errCut
		}
		return nil
	})
	c.put("x", "8", old, with)
	ctx, cancel := context.WithTimeout(context.Background(), p.patience(2*time.Second, 10*time.Second))
	defer cancel()
	if _, err := old.node.ReadIndex(ctx); err == nil {
		if v := old.machine.get("x"); v != "8" {
			return fmt.Errorf("%w: read x=%s after 8 was acknowledged", errStale, v)
		}
	}
	return nil
}

// voterThatMissedTheGrowth has three voters become five while one of them is away, and then loses the other two. The one
// that comes back and the two new ones are a majority.
func voterThatMissedTheGrowth(t *testing.T, p plants) error {
	c := newClusterOf(t, 5, 3, func(_ int, cfg *Config) { cfg.break_ = p })
	defer c.drop()
	c.put("x", "7")
	c.handOver(c.members[0])
	away := c.members[2]
	c.links.isolate(away.id)
	for _, m := range c.members[3:] {
		c.add(m)
		c.promote(m)
	}
	_, index := c.put("x", "8", away)
	for _, m := range c.members[3:] {
		if err := m.node.WaitApplied(timeout(t, time.Minute), index); err != nil {
			t.Fatal(err)
		}
	}
	c.stop(c.members[0])
	c.stop(c.members[1])
	c.links.set(nil)
	if err := c.writable(p.patience(time.Minute, 10*time.Second)); err != nil {
		return err
	}
	if got := c.leader().machine.get("x"); got != "8" {
		return fmt.Errorf("x = %s after 8 was acknowledged", got)
	}
	return nil
}

// Growing from one voter to five, by way of three, and back, while clients count: every acknowledged write is there
// once, whatever becomes of the leaders on the way.
func TestGrowAndShrinkUnderLoad(t *testing.T) {
	c := newClusterOf(t, 5, 1, func(_ int, cfg *Config) {
		cfg.SnapshotThreshold, cfg.TrailingLogs, cfg.SnapshotInterval = 200, 50, 100*time.Millisecond
	})
	c.leader()
	w := startWriters(c, 3)
	for _, m := range c.members[1:] {
		c.add(m)
		c.promote(m)
		w.progress(20)
	}
	if got := len(c.leader().node.Status().Voters); got != 5 {
		t.Errorf("%d voters, want 5", got)
	}
	for _, m := range c.members[:4] { // the first ones go; the leader is among them
		c.remove(m)
		w.progress(20)
	}
	w.stop()
	w.check(c.members[4])
}
