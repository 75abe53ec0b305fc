package consensus

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
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
	{"2 ReadIndex: no trip to the leader that is under way", "a read through a follower joins one",
		plants{joinTripUnderWay: true}, readJoinsTrip},
	{"a message comes from whose connection it is", "nobody compares the two",
		plants{trustSenders: true}, sentAsAnother},
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
			// A slow machine may spoil some attempts.
			for attempt := 0; err == nil && (attempt < 6 || time.Since(began) < limit); attempt++ {
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
	c := newCluster(t, 3, func(i int, cfg *Config) {
		cfg.break_ = p
		if i == 0 { // the others' disks only seem to hang, on a busy machine
			cfg.DiskTimeout = time.Second
		}
	})
	defer c.drop()
	l := c.members[0]
	c.put("x", "7")
	c.handOver(l)
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
		_, _, err := l.node.Propose(timeout(t, p.patience(time.Minute, 5*time.Second)), command{"y", "8"}.encode())
		proposed <- err
	}()
	select {
	case <-l.fatal:
	case <-time.After(p.patience(time.Minute, 3*time.Second)):
		return fmt.Errorf("the leader's disk hung for 3s; the process goes on, in office: %v", l.node.IsLeader())
	}
	err := <-proposed
	next, _ := c.put("x", "9", l)
	// It may have lost its office before, and then nothing was proposed.
	if nothing := errors.Is(err, ErrNotLeader) && next.machine.get("y") == ""; !errors.Is(err, ErrOutcomeUnknown) && !nothing {
		t.Errorf("proposal on the disk that hung: %v; y=%s", err, next.machine.get("y"))
	}
	return nil
}
