package consensus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"pentad.dev/pentad/process/loopback"
)

// An entry that cannot be applied ends the process: it must not be skipped, nor anything be applied behind it.
func TestUndecodableEntryEndsTheProcess(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.put("k", "1")
	someEnded := func() bool {
		return slices.ContainsFunc(c.members, func(m *member) bool { return len(m.fatal) > 0 })
	}
	eventually(t, "somebody ends", func() bool { // at the first attempt, unless the leader loses its office
		for _, m := range c.members {
			if someEnded() || !m.node.IsLeader() {
				continue
			}
			_, _, err := m.node.Propose(timeout(t, 10*time.Second), []byte("not JSON"))
			if !errors.Is(err, ErrOutcomeUnknown) && !errors.Is(err, ErrNotLeader) {
				t.Errorf("propose: %v, want %v", err, ErrOutcomeUnknown)
			}
		}
		return someEnded()
	})
	// The first to apply it ends, then the leader after it; the third alone never learns that it was committed.
	ended := 0
	eventually(t, "a majority ends", func() bool {
		for _, m := range c.members {
			if m.cancel == nil || len(m.fatal) == 0 {
				continue
			}
			if err := <-m.fatal; !strings.Contains(err.Error(), "cannot be applied") ||
				!strings.Contains(err.Error(), "registers).Apply") {
				t.Errorf("%s ended with %q: want the reason and the stack", m.id, err)
			}
			if err := <-m.ended; err == nil || !strings.Contains(err.Error(), "cannot be applied") {
				t.Errorf("%s: Run returned %v", m.id, err)
			}
			m.cancel = nil
			ended++
		}
		return ended >= 2
	})
}

func TestNobodyWithoutACertificateOfOurs(t *testing.T) {
	c := newCluster(t, 1, nil)
	l := c.leader()
	stranger, _ := newAuthority(t).issue(t, "n2")
	for name, cfg := range map[string]*tls.Config{
		"no certificate":           {},
		"a stranger's certificate": {Certificates: stranger.Certificates},
	} {
		cfg.RootCAs = c.ca.pool
		conn, err := tls.Dial("tcp", l.address, cfg)
		if err != nil {
			continue // refused during the handshake
		}
		// In TLS 1.3 the refusal comes after the client's side of the handshake.
		conn.SetDeadline(time.Now().Add(time.Minute))
		if n, err := conn.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: read %d bytes", name, n)
		}
		conn.Close()
	}
	// One who does not even speak TLS holds up nobody.
	mute, err := net.Dial("tcp", l.address)
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	_, ours := c.ca.issue(t, "n1")
	call(t, l.address, ours).Close()
}

func TestOneVoterAlone(t *testing.T) {
	c := newCluster(t, 1, nil)
	l, index := c.put("k", "1")
	if got, err := l.node.ReadIndex(timeout(t, time.Minute)); err != nil || got != index {
		t.Errorf("read index %d, want %d: %v", got, index, err)
	}
	if s := l.node.Status(); s.State != "leader" || s.Leader != "n1" || s.Applied != index || s.Commit < index {
		t.Errorf("status %+v", s)
	}
	if _, _, err := l.node.Propose(context.Background(), make([]byte, MaxCommandSize+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large a command: %v", err)
	}
	c.stop(l)
	if _, _, err := l.node.Propose(context.Background(), nil); !errors.Is(err, ErrStopped) {
		t.Errorf("propose at a stopped node: %v", err)
	}
	if err := l.node.WaitApplied(context.Background(), 1000); !errors.Is(err, ErrStopped) {
		t.Errorf("wait at a stopped node: %v", err)
	}
	if s := l.node.Status(); s.State != "stopped" {
		t.Errorf("status %+v", s)
	}
}

// Raft's main loop may take up another state behind its shutdown, also that of a leader, and keep it.
func TestAStoppedNodeLeadsNothingWhateverRaftSays(t *testing.T) {
	c := newCluster(t, 1, nil)
	r := c.leader().node.raft.Load()
	n := &Node{stopped: make(chan struct{})}
	n.raft.Store(r)
	if !n.IsLeader() {
		t.Fatal("raft does not say that it leads")
	}
	close(n.stopped)
	if err := n.notLeader(r); n.IsLeader() || !errors.Is(err, ErrNotLeader) || !errors.Is(err, ErrStopped) {
		t.Errorf("a stopped node leads: %v, and says %v", n.IsLeader(), err)
	}
}

func TestMetricsAreRegisteredAndCount(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	c := newCluster(t, 1, func(_ int, cfg *Config) { cfg.Metrics = registry })
	l, _ := c.put("k", "1")
	found, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range found {
		for _, m := range f.GetMetric() {
			seen[f.GetName()] = seen[f.GetName()] || m.GetHistogram().GetSampleCount() > 0 || m.GetGauge().GetValue() > 0 ||
				m.GetCounter().GetValue() > 0
		}
	}
	for _, name := range []string{"term", "state", "commit_index", "applied_index", "commit_seconds", "fsync_seconds",
		"read_index_seconds", "proposals_total"} {
		if !seen["pentad_raft_"+name] {
			t.Errorf("pentad_raft_%s is missing or zero", name)
		}
	}
	c.stop(l)
	c.start(l) // registers again
}

func TestRunLeavesNothingBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	c := newCluster(t, 3, nil)
	c.put("k", "1")
	c.leader() // with a read
	c.drop()
	noneLeft(t, before)
}

// A leader that is stopped while it is asked to hand over: raft has not looked at the wish yet, because of its disk.
func TestAStopWhileHandingOverLeavesNothingBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	c := newCluster(t, 2, func(_ int, cfg *Config) { cfg.DiskTimeout = time.Minute })
	for range 5 {
		l, _ := c.put("k", "1")
		release := hangSyncs(l.fs.(*memFS))
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		var asking sync.WaitGroup
		for range 4 { // one of them is with raft's main loop, which waits for the disk
			asking.Go(func() { l.node.Propose(ctx, command{"k", "2"}.encode()) })
		}
		asking.Go(func() { l.node.TransferLeadership(ctx, c.others(l)[0].id) })
		asking.Wait()
		cancel()
		asking.Go(func() { c.stop(l) })
		<-l.node.folder.store.stopped
		release()
		asking.Wait()
		l.fs.(*memFS).setHook(nil)
		c.start(l)
	}
	c.drop()
	noneLeft(t, before)
}

// noneLeft waits until there are no more goroutines than before.
func noneLeft(t *testing.T, before int) {
	t.Helper()
	for deadline := time.Now().Add(limit); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
	}
}

// A disk that failed before raft was started, or while it starts, ends the node also where Fatal returns.
func TestADiskThatFailsBeforeRaftStarts(t *testing.T) {
	c := &cluster{t: t, ca: newAuthority(t), links: &links{}}
	m := &member{id: "n1", address: "127.0.0.1:1", fs: newMemFS(), dir: "data", adjust: func(*Config) {}}
	c.open(m, loopback.Listen(t, loopback.Address(t)))
	c.found([]*member{m})
	m.fs.(*memFS).setHook(func(op, name string) error {
		if op == "sync" {
			return errors.New("the disk is broken")
		}
		return nil
	})
	if err := m.node.folder.store.keep([]byte("k"), []byte("v")); !errors.Is(err, ErrStopped) {
		t.Fatalf("a write to a broken disk: %v", err)
	}
	c.run(m)
	defer c.stop(m)
	select {
	case err := <-m.ended:
		if err == nil || !strings.Contains(err.Error(), "the disk is broken") {
			t.Errorf("Run returned %v", err)
		}
		m.cancel = nil
	case <-time.After(60 * time.Second):
		t.Fatal("the node's disk has failed, and it hangs")
	}
}

// What is committed when a node stops is applied before, and who proposed it has his answer: raft itself would never give
// it.
func TestWhoProposedHasAnAnswerWhenTheNodeStops(t *testing.T) {
	for _, size := range []int{1, 3} {
		c := newCluster(t, size, nil)
		l, _ := c.put("k", "0")
		node, open := l.node, make(chan struct{})
		l.machine.setGate(func() { <-open })
		queued := node.raft.Load().AppliedIndex() + 20
		var waiting sync.WaitGroup
		for i := range 200 {
			waiting.Go(func() {
				_, _, err := node.Propose(timeout(t, 60*time.Second), command{"k", fmt.Sprint(i)}.encode())
				if err != nil && !errors.Is(err, ErrOutcomeUnknown) && !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrNoQuorum) {
					t.Error(err)
				}
			})
		}
		eventually(t, "commands wait for the machine, or the office is lost", func() bool {
			return node.raft.Load().AppliedIndex() > queued || !node.IsLeader()
		})
		go func() { // the machine goes on when raft has stopped, which it should not while commands wait
			for over := false; !over; time.Sleep(time.Millisecond) {
				node.proposing.mu.Lock()
				over = node.proposing.none != nil
				node.proposing.mu.Unlock()
			}
			for range 20 {
				if node.raft.Load().State() != raft.Shutdown {
					time.Sleep(time.Millisecond)
				}
			}
			close(open)
		}()
		c.stop(l)
		waiting.Wait()
		select {
		case <-node.proposing.end():
		case <-time.After(time.Minute):
			t.Errorf("of %d members: raft has stopped, and has not answered every proposal", size)
		}
		if _, _, err := node.Propose(timeout(t, 60*time.Second), command{"k", "late"}.encode()); !errors.Is(err, ErrNotLeader) || !errors.Is(err, ErrStopped) {
			t.Errorf("a proposal behind the stop: %v", err)
		}
		c.drop()
	}
}
