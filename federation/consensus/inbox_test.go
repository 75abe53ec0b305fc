package consensus

import (
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// behind makes three members of which one, stopped, is so far behind that it needs a snapshot.
func behind(t *testing.T, heartbeat time.Duration, p plants) (c *cluster, far *member) {
	c = newCluster(t, 3, func(_ int, cfg *Config) {
		cfg.HeartbeatTimeout, cfg.break_, cfg.SegmentSize = heartbeat, p, 64<<10
		cfg.SnapshotThreshold, cfg.TrailingLogs, cfg.SnapshotInterval = 20, 5, 20*time.Millisecond
	})
	far = c.others(c.leader())[0]
	c.stop(far)
	// More than one message takes, which may wait for it already, and more than one segment: of the last one raft-wal
	// hands out also what was deleted.
	for i := range 200 {
		c.put("k", fmt.Sprint(i, strings.Repeat("x", 1000)), far)
	}
	eventually(t, "the logs are compacted", func() bool {
		for _, m := range c.others(far) {
			if first, err := m.node.folder.store.FirstIndex(); err != nil || first < 150 {
				return false
			}
		}
		return true
	})
	return c, far
}

// longInstall has a leader left with one other voter, which takes a snapshot that does not end.
func longInstall(t *testing.T, p plants) error {
	const heartbeat = 4 * time.Second // a busy machine must not stand still for so long
	c, far := behind(t, heartbeat, p)
	defer c.drop()
	l := c.leader(far)
	open := make(chan struct{})
	var writing atomic.Bool
	far.fs.(*memFS).setHook(func(op, name string) error {
		if op == "write" && strings.HasSuffix(name, snapSuffix) {
			writing.Store(true)
			<-open
		}
		return nil
	})
	far.adjust = func(cfg *Config) {
		cfg.HeartbeatTimeout, cfg.DiskTimeout, cfg.break_ = heartbeat, 2*limit, p
	}
	var heard atomic.Int64
	c.links.set(func(from, to string, req any, answer bool) error {
		if answer && from == l.id && to == far.id && bare(req) && writing.Load() {
			heard.Add(1)
		}
		return nil
	})
	c.start(far)
	eventually(t, "the snapshot is being written", writing.Load)
	began := time.Now()
	c.stop(c.others(l, far)[0])
	var err error
	for heard.Load() < 10 || time.Since(began) < 2*l.node.cfg.HeartbeatTimeout {
		if !l.node.IsLeader() {
			err = fmt.Errorf("the leader left office %v after the other voter began to take a snapshot, which answered %d heartbeats",
				time.Since(began).Round(time.Millisecond), heard.Load())
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err == nil {
		if _, readErr := l.node.ReadIndex(timeout(t, time.Minute)); readErr != nil {
			t.Errorf("a read while the other voter takes a snapshot: %v", readErr)
		}
	}
	close(open)
	_, index := c.put("k", "last")
	if err := far.node.WaitApplied(timeout(t, 60*time.Second), index); err != nil {
		t.Error(err)
	}
	return err
}

// The leader did not wait for one snapshot's end and sent another one, which raft has taken before the end of the first
// is known here: heartbeats are answered under the second one too.
func TestHeartbeatsUnderTheNextSnapshot(t *testing.T) {
	in, closed := make(chan raft.RPC), make(chan struct{})
	box := &inbox{in: in, out: make(chan raft.RPC), closed: closed, plants: &plants{}, self: "n1",
		askers: askers{func() []raft.ServerID { return nil }},
		follow: func(uint64, raft.ServerID) bool { return true },
		holds:  func(uint64, uint64) bool { return false }}
	box.done.Go(box.run)
	defer box.done.Wait()
	defer close(closed)
	header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("n2"), Addr: []byte("n2")}
	members := raft.EncodeConfiguration(configurationOf([]Member{{"n1", "1.2.3.4:5"}, {"n2", "1.2.3.4:6"}}))
	install := func() (taken raft.RPC, answer chan raft.RPCResponse) {
		answer = make(chan raft.RPCResponse, 1)
		in <- raft.RPC{RespChan: answer, Reader: strings.NewReader(""), Command: &raft.InstallSnapshotRequest{RPCHeader: header,
			SnapshotVersion: raft.SnapshotVersionMax, Term: 3, LastLogIndex: 9, LastLogTerm: 2, Configuration: members}}
		return <-box.out, answer
	}
	first, answered := install()
	install()
	first.Respond(&raft.InstallSnapshotResponse{Term: 3}, nil)
	<-answered
	for i := range 100 { // the end of the first comes in between somewhere
		answer := make(chan raft.RPCResponse, 1)
		in <- raft.RPC{RespChan: answer, Command: &raft.AppendEntriesRequest{RPCHeader: header, Term: 3}}
		select {
		case <-answer:
		case <-time.After(time.Minute):
			t.Fatalf("heartbeat %d under the second snapshot is not answered", i)
		}
	}
}

// snapshotRefusedLong fills the disk of a member that needs a snapshot until raft would ask it only seconds later again,
// gives it room, and counts the heartbeats that it answers before it is sent the snapshot.
func snapshotRefusedLong(t *testing.T, p plants) error {
	c, far := behind(t, 2*time.Second, p) // another leader would begin with short waits
	defer c.drop()
	var refused, heartbeats, served atomic.Int64
	far.fs.(*memFS).setHook(func(op, name string) error {
		if (op == "create" || op == "write") && strings.HasSuffix(name, snapSuffix) {
			refused.Add(1)
			return syscall.ENOSPC
		}
		return nil
	})
	c.links.set(func(_, to string, req any, answer bool) error {
		switch _, snapshot := req.(*raft.InstallSnapshotRequest); {
		case to != far.id:
		case snapshot && !answer:
			served.Add(1)
		case answer && bare(req) && served.Load() == 0:
			heartbeats.Add(1)
		}
		return nil
	})
	adjust := far.adjust
	far.adjust = func(cfg *Config) {
		adjust(cfg)
		cfg.SnapshotThreshold = 1 << 20 // it takes none of its own
	}
	c.start(far)
	eventually(t, "it refused often", func() bool { return refused.Load() >= 8 })
	far.fs.(*memFS).setHook(nil)
	served.Store(0)
	heartbeats.Store(0)
	eventually(t, "it is sent the snapshot again", func() bool { return served.Load() > 0 })
	if n := heartbeats.Load(); n > 12 { // 5 come in the wait between two attempts, 30 in raft's own of 10 s
		return fmt.Errorf("after %d refusals the member answered %d heartbeats before it was sent the snapshot", refused.Load(), n)
	}
	_, index := c.put("k", "last")
	if err := far.node.WaitApplied(timeout(t, 60*time.Second), index); err != nil {
		t.Error(err)
	}
	if len(far.fatal) > 0 {
		t.Errorf("a full disk ended the process: %v", <-far.fatal)
	}
	return nil
}

// A disk that hangs under a snapshot ends the process as one that hangs under the log does.
func TestADiskThatHangsUnderASnapshotEndsTheProcess(t *testing.T) {
	c, far := behind(t, 0, plants{})
	open := make(chan struct{})
	defer close(open)
	far.fs.(*memFS).setHook(func(op, name string) error {
		if op == "sync" && strings.HasSuffix(name, snapSuffix) {
			<-open
		}
		return nil
	})
	far.adjust = func(cfg *Config) { cfg.DiskTimeout = 2 * time.Second }
	c.start(far)
	select {
	case err := <-far.fatal:
		if !strings.Contains(err.Error(), "syncing a snapshot") {
			t.Errorf("it ended: %v", err)
		}
	case <-time.After(limit):
		t.Fatal("the disk hangs, and the process goes on")
	}
}

func TestASnapshotIsSyncedAsItGrows(t *testing.T) {
	vfs := newMemFS()
	syncs := 0
	vfs.setHook(func(op, _ string) error {
		if op == "sync" {
			syncs++
		}
		return nil
	})
	s := &snapshots{fs: vfs, logger: hclog.NewNullLogger()}
	k, err := s.Create(1, 9, 1, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := k.Write(make([]byte, dripEvery)); err != nil {
			t.Fatal(err)
		}
	}
	if syncs < 4 {
		t.Errorf("%d syncs of %d bytes", syncs, 5*dripEvery)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
}
