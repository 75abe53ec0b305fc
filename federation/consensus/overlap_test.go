package consensus

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// hangSyncs makes every sync of the log's files wait until release is called.
func hangSyncs(fs *memFS) (release func()) {
	open := make(chan struct{})
	fs.setHook(func(op, name string) error {
		if op == "sync" && isSegment(name) {
			<-open
		}
		return nil
	})
	return func() { close(open) }
}

// ownSyncHangs has the leader's disk take long over a write while one of the other two is down: the one that is up has
// stored it, but together with the leader's own copy alone it is a majority.
func ownSyncHangs(t *testing.T, p plants) error {
	c := newCluster(t, 3, func(_ int, cfg *Config) {
		cfg.break_ = p
		cfg.DiskTimeout = time.Minute
	})
	defer c.drop()
	l, _ := c.put("x", "7")
	others := c.others(l)
	c.stop(others[0])
	l, before := c.put("x", "8", others[0])
	other := c.others(l, others[0])[0]
	release := hangSyncs(l.fs.(*memFS))
	released := false
	defer func() {
		if !released {
			release()
		}
	}()
	_, _, term := l.node.Leader()
	// On a slow machine it may lose its office meanwhile, and then nothing is acknowledged.
	lost := func(err error) bool {
		_, _, now := l.node.Leader()
		return errors.Is(err, ErrNotLeader) || errors.Is(err, ErrOutcomeUnknown) && (now != term || !l.node.IsLeader())
	}
	proposed := make(chan error, 1)
	go func() {
		_, _, err := l.node.Propose(timeout(t, time.Minute), command{"x", "9"}.encode())
		proposed <- err
	}()
	// The entry travels while the leader's own disk is busy with it.
	eventually(t, "the other voter stores the entry", func() bool {
		last, err := other.node.folder.log.LastIndex()
		return err == nil && last > before || len(proposed) > 0
	})
	eventually(t, "the leader hears of it", func() bool { return held(l, other) > before || len(proposed) > 0 })
	select {
	case err := <-proposed:
		if lost(err) {
			return nil
		}
		return fmt.Errorf("acknowledged (%v) while the leader's own copy was not synced and one voter was down", err)
	case <-time.After(time.Second):
	}
	release()
	released = true
	if err := <-proposed; err != nil && p == (plants{}) && !lost(err) {
		t.Errorf("the disk is done: %v", err)
	}
	return nil
}

// held is how much of the log a leader knows another member to hold.
func held(l, other *member) uint64 {
	for _, m := range l.node.Members() {
		if m.ID == other.id {
			return m.Match
		}
	}
	return 0
}

// termPassesSync stores a term, as an old leader does before it answers a new one, while its own entries are synced.
func termPassesSync(t *testing.T, p plants) error {
	vfs := newMemFS()
	s, _, err := openLog(vfs, &p)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.StoreLog(entry(1, 1, 10)); err != nil {
		t.Fatal(err)
	}
	s.overlap = func() bool { return true }
	release := hangSyncs(vfs)
	if err := s.StoreLog(entry(2, 1, 10)); err != nil {
		t.Fatal(err)
	}
	stored := make(chan error, 1)
	go func() { stored <- s.SetUint64([]byte("CurrentTerm"), 2) }()
	select {
	case err = <-stored:
		release()
		return fmt.Errorf("a term was stored (%v) before the entries that an answer in it may speak of", err)
	case <-time.After(p.patience(200*time.Millisecond, time.Minute)):
	}
	release()
	return <-stored
}

func TestALeaderAloneSyncsBeforeItCounts(t *testing.T) {
	c := newCluster(t, 1, func(_ int, cfg *Config) { cfg.DiskTimeout = time.Minute })
	l, _ := c.put("x", "7")
	release := hangSyncs(l.fs.(*memFS))
	proposed := make(chan error, 1)
	go func() {
		_, _, err := l.node.Propose(timeout(t, time.Minute), command{"x", "8"}.encode())
		proposed <- err
	}()
	select {
	case err := <-proposed:
		t.Errorf("acknowledged (%v) before it was synced", err)
		release()
	case <-time.After(200 * time.Millisecond):
		release()
		if err := <-proposed; err != nil {
			t.Errorf("the disk is done: %v", err)
		}
	}
}

func TestAConfigurationIsSyncedBeforeItCounts(t *testing.T) {
	s, _, err := openLog(newMemFS(), &plants{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	s.overlap = func() bool { return true }
	e := entry(1, 1, 10)
	e.Type = raft.LogConfiguration
	if err := s.StoreLog(e); err != nil {
		t.Fatal(err)
	}
	if s.own.Load() != nil {
		t.Error("an entry that changes who is a majority is synced later")
	}
}

func TestAFailedSyncOfALeadersOwnEntriesEndsTheProcess(t *testing.T) {
	vfs := newMemFS()
	s, died, err := openLog(vfs, &plants{})
	if err != nil {
		t.Fatal(err)
	}
	s.overlap = func() bool { return true }
	failure := errors.New("the disk is broken")
	vfs.setHook(func(op, name string) error {
		if op == "sync" && strings.HasSuffix(name, ".wal") {
			return failure
		}
		return nil
	})
	// The sync may have failed before the write returns.
	if err := s.StoreLog(entry(1, 1, 10)); err != nil && !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
	if err := s.synced(1, nil); !errors.Is(err, ErrStopped) {
		t.Errorf("the entry is synced: %v, want %v", err, ErrStopped)
	}
	if err := <-died; !errors.Is(err, failure) {
		t.Errorf("ended by %v", err)
	}
	if err := s.StoreLog(entry(2, 1, 10)); !errors.Is(err, ErrStopped) {
		t.Errorf("stored after that: %v, want %v", err, ErrStopped)
	}
}

// endless is a pipeline whose answers the test gives.
type endless struct {
	raft.AppendPipeline
	answers chan raft.AppendFuture
}

func (e endless) Consumer() <-chan raft.AppendFuture { return e.answers }
func (e endless) Close() error                       { return nil }

type answer struct {
	raft.AppendFuture
	success bool
}

func (answer) Start() time.Time                    { return time.Now() }
func (answer) Error() error                        { return nil }
func (answer) Request() *raft.AppendEntriesRequest { return &raft.AppendEntriesRequest{} }
func (a answer) Response() *raft.AppendEntriesResponse {
	return &raft.AppendEntriesResponse{Success: a.success}
}

func TestBehindARefusalAnswersAreStillTaken(t *testing.T) {
	inner := endless{answers: make(chan raft.AppendFuture)}
	tr := &transport{rounds: newRounds(&plants{}), contacts: newContacts(), plants: &plants{},
		peers: func() ([]raft.ServerID, int) { return nil, 0 }}
	p := &pipeline{AppendPipeline: inner, transport: tr, id: "n2", ready: make(chan raft.AppendFuture),
		closed: make(chan struct{})}
	p.done.Go(p.forward)
	defer p.Close()
	for _, success := range []bool{true, false} { // with the second, raft gives the pipeline up
		inner.answers <- answer{success: success}
		if got := <-p.Consumer(); got.Response().Success != success {
			t.Fatalf("answer %v arrived as %v", success, got.Response().Success)
		}
	}
	for range 3 * maxInFlight {
		select {
		case inner.answers <- answer{success: true}:
		case <-time.After(time.Minute):
			t.Fatal("nobody takes answers any more: whoever sends into the full pipeline waits for ever")
		}
	}
}
