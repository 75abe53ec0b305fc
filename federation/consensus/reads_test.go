package consensus

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// staleCluster is three members of which n1 leads, without ever looking whether it still hears the others. From
// partition on, nothing reaches n1 and nothing leaves it, but answers to what it sent before are only held back.
type staleCluster struct {
	*cluster
	old, fresh *member
	cut        chan struct{} // closed: n1 is cut off
	release    chan struct{} // closed: the answers that were held back arrive
	held       chan any      // what the held answers answer
}

func newStaleCluster(t *testing.T, p plants) *staleCluster {
	c := &staleCluster{cut: make(chan struct{}), release: make(chan struct{}), held: make(chan any, 1000)}
	c.cluster = newCluster(t, 3, func(i int, cfg *Config) {
		cfg.break_ = p
		if i == 0 {
			cfg.HeartbeatTimeout = time.Hour
			cfg.RPCTimeout = time.Minute
		}
	})
	var heartbeats atomic.Int64 // n1's, in flight
	c.links.set(func(from, _ string, req any, answer bool) error {
		if from == "n1" && bare(req) {
			heartbeats.Add(1)
			if answer {
				heartbeats.Add(-2)
			}
		}
		return nil
	})
	c.put("x", "7")
	c.old = c.members[0]
	for led := false; !led; { // until an entry of its own term is committed
		c.handOver(c.old)
		_, _, err := c.old.node.Propose(timeout(t, 10*time.Second), command{"y", "1"}.encode())
		led = err == nil
	}
	// n1 sends heartbeats only when a read asks for them.
	eventually(t, "no heartbeat is in flight", func() bool { return heartbeats.Load() == 0 })
	return c
}

// holdAnswers holds back answers to n1 and keeps the others' own messages from it, votes above all. It returns once one is
// held; from then on n1 keeps its office. On a busy machine the others may have elected another one before: not ok.
func (c *staleCluster) holdAnswers() (ok bool) {
	c.links.set(func(from, to string, req any, answer bool) error {
		switch {
		case to == c.old.id:
			return errCut
		case from != c.old.id:
			return nil
		case answer:
			select {
			case c.held <- req:
			default:
			}
			<-c.release
			return nil
		}
		select {
		case <-c.cut:
			return errCut
		default:
			return nil
		}
	})
	eventually(c.t, "an answer is held back, or n1 leads no more", func() bool {
		return len(c.held) > 0 || !c.old.node.IsLeader()
	})
	return c.old.node.IsLeader()
}

// overtake cuts n1 off, and acknowledges x=8 at another leader.
func (c *staleCluster) overtake() {
	close(c.cut)
	c.fresh, _ = c.put("x", "8", c.old)
}

// read begins a read at n1 and returns once it waits for the others.
func (c *staleCluster) read(ctx context.Context) (result chan error) {
	result = make(chan error, 1)
	before := c.waiting()
	go func() {
		_, err := c.old.node.ReadIndex(ctx)
		if v := c.old.machine.get("x"); err == nil {
			err = fmt.Errorf("%w: read x=%s after 8 was acknowledged", errStale, v)
		}
		result <- err
	}()
	// The first read of n1 has one more beside it: who triggers the heartbeats waits for the answers too.
	eventually(c.t, "the read waits", func() bool { return c.waiting() >= max(2, before+1) || len(result) > 0 })
	return result
}

func (c *staleCluster) waiting() int {
	g := c.old.node.rounds.of(c.old.node.Status().Term)
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

var errStale = errors.New("stale read")

// stale returns a stale read, and nothing if the read was rightly refused.
func stale(t *testing.T, result chan error) error {
	t.Helper()
	err := <-result
	if errors.Is(err, errStale) {
		return err
	}
	if !errors.Is(err, ErrNoQuorum) && !errors.Is(err, ErrNotLeader) {
		t.Errorf("read at a leader that was overtaken: %v", err)
	}
	return nil
}

func readCountsEarlierAnswers(t *testing.T, p plants) error {
	c := newStaleCluster(t, p)
	defer c.drop()
	if !c.holdAnswers() {
		close(c.release)
		return nil
	}
	c.overtake()
	result := c.read(timeout(t, p.patience(2*time.Second, 10*time.Second)))
	close(c.release)
	return stale(t, result)
}

func readJoinsRoundInFlight(t *testing.T, p plants) error {
	c := newStaleCluster(t, p)
	defer c.drop()
	if !c.holdAnswers() {
		close(c.release)
		return nil
	}
	// The first read is confirmed by a heartbeat that was sent after it began: it may see 7.
	first := c.read(timeout(t, 2*limit))
	eventually(t, "the answer to its heartbeat is held back, or n1 leads no more", func() bool {
		select {
		case req := <-c.held:
			return bare(req)
		default:
			return !c.old.node.IsLeader()
		}
	})
	c.overtake()
	second := c.read(timeout(t, p.patience(2*time.Second, 10*time.Second)))
	close(c.release)
	if err := <-first; err != nil && !errors.Is(err, errStale) && c.old.node.IsLeader() {
		t.Errorf("the first read was confirmed in time: %v", err)
	}
	return stale(t, second)
}

func readWithSlowMachine(t *testing.T, p plants) error {
	c := newCluster(t, 3, func(_ int, cfg *Config) { cfg.break_ = p })
	defer c.drop()
	l := c.leader()
	slow := c.others(l)[0]
	open := make(chan struct{})
	slow.machine.setGate(func() { <-open })
	defer close(open)
	c.putElsewhere(slow, "x", "8")
	c.handOver(slow)
	if _, err := slow.node.ReadIndex(timeout(t, p.patience(time.Second, 10*time.Second))); err == nil {
		if v := slow.machine.get("x"); v != "8" {
			return fmt.Errorf("%w: read x=%q after 8 was acknowledged", errStale, v)
		}
	}
	return nil
}

func readBeforeOwnEntry(t *testing.T, p plants) error {
	// Followers learn what is committed only with the next entry.
	c := newCluster(t, 3, func(_ int, cfg *Config) {
		cfg.break_ = p
		cfg.CommitTimeout = time.Hour
	})
	defer c.drop()
	c.put("x", "7")
	l, _ := c.put("x", "8")
	// The next leader reaches the others with heartbeats, not with entries.
	c.links.set(func(from, _ string, req any, _ bool) error {
		if from != l.id && hasEntries(req) {
			return errCut
		}
		return nil
	})
	c.stop(l)
	var next *member
	eventually(t, "another leader", func() bool {
		for _, m := range c.others(l) {
			if m.node.IsLeader() {
				next = m
				return true
			}
		}
		return false
	})
	if _, err := next.node.ReadIndex(timeout(t, p.patience(time.Second, 10*time.Second))); err == nil {
		if v := next.machine.get("x"); v != "8" {
			return fmt.Errorf("%w: read x=%s after 8 was acknowledged", errStale, v)
		}
	}
	return nil
}
