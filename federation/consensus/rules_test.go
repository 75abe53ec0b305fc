package consensus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// rules pairs each rule that this room must keep with a way to break it and a scenario that finds the breach. A
// scenario returns what it saw that must never happen.
var rules = []struct {
	rule, broken string
	plant        plants
	scenario     func(t *testing.T, p plants) error
}{
	{"1 heartbeats take the main loop", "raft's heartbeat fast path is installed",
		plants{heartbeatFastPath: true}, twoLeadersInATerm},
	{"2 ReadIndex: messages sent after the read began", "answers to earlier messages count",
		plants{countEarlierAnswers: true}, readCountsEarlierAnswers},
	{"2 ReadIndex: the same, after a transfer", "answers to earlier messages count",
		plants{countEarlierAnswers: true}, readAfterTransfer},
	{"2 ReadIndex: no joining a round in flight", "a read joins the one that waits already",
		plants{joinInFlight: true}, readJoinsRoundInFlight},
	{"2 ReadIndex: the machine, not AppliedIndex", "raft's AppliedIndex is trusted",
		plants{trustAppliedIndex: true}, readWithSlowMachine},
	{"2 ReadIndex: an entry of this term first", "a new leader reads at once",
		plants{skipOwnEntry: true}, readBeforeOwnEntry},
	{"a member that returns is served at once", "raft's own wait of up to 10 s",
		plants{stockBackoff: true}, returnsAfterLong},
	{"a member whose disk was full is served at once", "raft's own wait of up to 10 s",
		plants{stockBackoff: true}, snapshotRefusedLong},
	{"a snapshot that comes late takes nothing back", "whatever snapshot comes is installed",
		plants{takeLateSnapshots: true}, lateSnapshot},
	{"heartbeats are answered under a snapshot", "they wait until it is installed",
		plants{starveHeartbeats: true}, longInstall},
	{"2 ReadIndex: a majority of the voters as they are", "a majority of those at the start",
		plants{countFormerVoters: true}, readAfterGrowth},
	{"an old configuration refuses nobody its vote", "raft looks the candidate up in it",
		plants{strangersGetNoVote: true}, voterThatMissedTheGrowth},
	{"peers of another cluster are refused", "nobody looks at what a peer says it is",
		plants{trustPeers: true}, strangerAtOurAddress},
	{"a replaced disk is refused", "nobody asks for a peer's data folder",
		plants{trustFolders: true}, oldDiskComesBack},
	{"a node claims the name of its certificate", "nobody compares the two",
		plants{trustNames: true}, namedByAnother},
	{"an enrolment survives a power cut", "it is not written",
		plants{forgetEnrolment: true}, enrolUnderPowerCuts},
	{"a folder is of one cluster for life", "it can be enrolled in another one",
		plants{enrollAnywhere: true}, enrolUnderPowerCuts},
	{"a replica is promoted once it has caught up", "it is promoted however it is",
		plants{promoteAnyone: true}, promoteTheDead},
	{"a change leaves a majority that answers", "nobody looks at who is left",
		plants{changeBlindly: true}, removeTheLiving},
	{"fsync before an acknowledgement (cluster)", "writes are not synced",
		plants{noSync: true}, powerCutEverywhere},
	{"fsync before an acknowledgement (log)", "writes are not synced",
		plants{noSync: true}, fuzzLogs},
	{"a leader's own sync counts when it ends (cluster)", "its entries count before they are synced",
		plants{forgetOwnSync: true}, ownSyncHangs},
	{"a leader's own sync counts when it ends (log)", "its entries count before they are synced",
		plants{forgetOwnSync: true}, fuzzLogs},
	{"a term is stored behind the sync before it", "it is stored beside it",
		plants{forgetOwnSync: true}, termPassesSync},
	{"the log is whole after a crash", "the log's end is left to raft-wal",
		plants{noMend: true}, fuzzLogs},
	{"4 a node whose disk is full does not stand", "it stands at once",
		plants{standThoughFull: true}, standsThoughFull},
	{"4 what cannot be replaced is not cut off", "it is cut off on a full disk",
		plants{cutWithoutRoom: true}, cutOnFull},
	{"4 a failed sync ends the process", "it is taken for a good one",
		plants{forgiveSync: true}, syncFails},
	{"4 a disk that hangs ends the process", "nobody watches the disk",
		plants{noDiskTimeout: true}, diskHangs},
}

// Each rule holds in its scenario, and its breach is found there.
func TestBrokenRulesAreFound(t *testing.T) {
	var mu sync.Mutex
	table := make([]string, len(rules))
	t.Cleanup(func() {
		t.Logf("\n%-50s %-42s %s\n%s", "rule", "broken how", "found after",
			strings.Join(slices.DeleteFunc(table, func(s string) bool { return s == "" }), "\n"))
	})
	for i, r := range rules {
		t.Run(r.rule, func(t *testing.T) {
			t.Parallel()
			if err := r.scenario(t, plants{}); err != nil {
				t.Fatalf("kept, but: %v", err)
			}
			began := time.Now()
			var err error
			for attempt := 0; attempt < 3 && err == nil; attempt++ { // a slow machine may spoil one
				err = r.scenario(t, r.plant)
			}
			if err == nil {
				t.Fatalf("%s: not found", r.broken)
			}
			mu.Lock()
			defer mu.Unlock()
			table[i] = fmt.Sprintf("%-50s %-42s %v: %.150v", r.rule, r.broken, time.Since(began).Round(time.Millisecond), err)
		})
	}
}

func fuzzLogs(_ *testing.T, p plants) error {
	for seed := range uint64(50) {
		for _, leads := range []bool{false, true} {
			if err := fuzzLog(seed, &p, leads); err != nil {
				return fmt.Errorf("seed %d, leads %v: %w", seed, leads, err)
			}
		}
	}
	return nil
}

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
		_, _, err := c.old.node.Propose(timeout(t, time.Second), command{"y", "1"}.encode())
		led = err == nil
	}
	// n1 sends heartbeats only when a read asks for them.
	eventually(t, "no heartbeat is in flight", func() bool { return heartbeats.Load() == 0 })
	return c
}

// holdAnswers holds back answers to n1 and keeps the others' own messages from it, votes above all.
func (c *staleCluster) holdAnswers() {
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
	c.holdAnswers()
	<-c.held
	c.overtake()
	result := c.read(timeout(t, 2*time.Second))
	close(c.release)
	return stale(t, result)
}

func readJoinsRoundInFlight(t *testing.T, p plants) error {
	c := newStaleCluster(t, p)
	defer c.drop()
	c.holdAnswers()
	// The first read is confirmed by a heartbeat that was sent after it began: it may see 7.
	first := c.read(timeout(t, 20*time.Second))
	for req := range c.held {
		if bare(req) {
			break
		}
	}
	c.overtake()
	second := c.read(timeout(t, 2*time.Second))
	close(c.release)
	if err := <-first; err != nil && !errors.Is(err, errStale) {
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
	c.put("x", "8", slow)
	c.handOver(slow)
	if _, err := slow.node.ReadIndex(timeout(t, time.Second)); err == nil {
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
	if _, err := next.node.ReadIndex(timeout(t, time.Second)); err == nil {
		if v := next.machine.get("x"); v != "8" {
			return fmt.Errorf("%w: read x=%s after 8 was acknowledged", errStale, v)
		}
	}
	return nil
}

func powerCutEverywhere(t *testing.T, p plants) error {
	c := newCluster(t, 3, func(_ int, cfg *Config) { cfg.break_ = p })
	defer c.drop()
	c.put("x", "8")
	for _, m := range c.members {
		m.fs.(*memFS).powerCut(nil)
	}
	for _, m := range c.members {
		c.stop(m)
	}
	for _, m := range c.members {
		c.start(m)
		if m.node.Folder().Cluster == "" {
			return fmt.Errorf("%s does not know its cluster any more after a power cut", m.id)
		}
	}
	if v := c.leader().machine.get("x"); v != "8" {
		return fmt.Errorf("x=%q after a power cut, 8 was acknowledged", v)
	}
	return nil
}

func diskHangs(t *testing.T, p plants) error {
	c := newCluster(t, 3, func(_ int, cfg *Config) {
		cfg.break_ = p
		cfg.DiskTimeout = 500 * time.Millisecond
	})
	defer c.drop()
	l, _ := c.put("x", "7")
	open := make(chan struct{})
	defer close(open)
	l.fs.(*memFS).setHook(func(op, _ string) error {
		if op == "sync" {
			<-open
		}
		return nil
	})
	proposed := make(chan error, 1)
	go func() {
		_, _, err := l.node.Propose(timeout(t, 5*time.Second), command{"x", "8"}.encode())
		proposed <- err
	}()
	select {
	case <-l.fatal:
	case <-time.After(3 * time.Second):
		return fmt.Errorf("the leader's disk hung for 3s; the process goes on, in office: %v", l.node.IsLeader())
	}
	if err := <-proposed; !errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("proposal on the disk that hung: %v", err)
	}
	c.put("x", "9", l)
	return nil
}
