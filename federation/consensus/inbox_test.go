package consensus

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
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
	c, far := behind(t, 1500*time.Millisecond, p)
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
		cfg.HeartbeatTimeout, cfg.DiskTimeout, cfg.break_ = 1500*time.Millisecond, time.Minute, p
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
	for heard.Load() < 20 || time.Since(began) < 2*l.node.cfg.HeartbeatTimeout {
		if !l.node.IsLeader() {
			err = fmt.Errorf("the leader left office %v after the other voter began to take a snapshot, which answered %d heartbeats",
				time.Since(began).Round(time.Millisecond), heard.Load())
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err == nil {
		if _, readErr := l.node.ReadIndex(timeout(t, 20*time.Second)); readErr != nil {
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

// snapshotRefusedLong fills the disk of a member that needs a snapshot until raft would ask it only seconds later again,
// gives it room, and counts the heartbeats that it answers before it is sent the snapshot.
func snapshotRefusedLong(t *testing.T, p plants) error {
	c, far := behind(t, 300*time.Millisecond, p)
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
	eventually(t, "it refused often", func() bool { return refused.Load() >= 4 })
	far.fs.(*memFS).setHook(nil)
	served.Store(0)
	heartbeats.Store(0)
	eventually(t, "it is sent the snapshot again", func() bool { return served.Load() > 0 })
	if n := heartbeats.Load(); n > 16 { // 8 come in the wait between two attempts
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
	far.adjust = func(cfg *Config) { cfg.DiskTimeout = 500 * time.Millisecond }
	c.start(far)
	select {
	case err := <-far.fatal:
		if !strings.Contains(err.Error(), "syncing a snapshot") {
			t.Errorf("it ended: %v", err)
		}
	case <-time.After(60 * time.Second):
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

// wire is one end of a connection that says what it was given, and takes everything.
type wire struct {
	io.Reader
	written bytes.Buffer
	closed  chan struct{} // nil: nobody asks
}

func (w *wire) Write(p []byte) (int, error) { return w.written.Write(p) }
func (w *wire) Close() error {
	if w.closed != nil {
		close(w.closed)
	}
	return nil
}
func (w *wire) LocalAddr() net.Addr              { return advertised("n1") }
func (w *wire) RemoteAddr() net.Addr             { return advertised("n2") }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// oneLine is a raft.StreamLayer with one connection: that of a caller, or the one to whom is called.
type oneLine struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newOneLine(c net.Conn) *oneLine {
	l := &oneLine{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
	l.conns <- c
	return l
}

func (l *oneLine) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *oneLine) Close() error   { close(l.closed); return nil }
func (l *oneLine) Addr() net.Addr { return advertised("n1") }
func (l *oneLine) Dial(raft.ServerAddress, time.Duration) (net.Conn, error) {
	return <-l.conns, nil
}

// written returns what raft writes on the wire for a message.
func written(f testing.TB, send func(raft.Transport)) []byte {
	w := &wire{Reader: bytes.NewReader(nil)}
	line := newOneLine(w)
	t := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: dialOnly{line}, MaxPool: 1,
		Logger: hclog.NewNullLogger(), MsgpackUseNewTimeFormat: true})
	send(t)
	if err := t.Close(); err != nil {
		f.Fatal(err)
	}
	return bytes.Clone(w.written.Bytes())
}

type dialOnly struct{ *oneLine }

func (d dialOnly) Accept() (net.Conn, error) { <-d.closed; return nil, net.ErrClosed }

// sampleMessages are one of each kind, as raft writes them.
func sampleMessages(t testing.TB) (all [][]byte) {
	header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte("n2"), Addr: []byte("n2")}
	members := raft.EncodeConfiguration(configurationOf([]Member{{"n1", "1.2.3.4:5"}, {"n2", "1.2.3.4:6"}}))
	for _, send := range []func(raft.Transport){
		func(to raft.Transport) {
			to.AppendEntries("n1", "n1", &raft.AppendEntriesRequest{RPCHeader: header, Term: 3}, &raft.AppendEntriesResponse{})
		},
		func(to raft.Transport) {
			to.AppendEntries("n1", "n1", &raft.AppendEntriesRequest{RPCHeader: header, Term: 3, PrevLogEntry: 4, PrevLogTerm: 2,
				Entries: []*raft.Log{{Index: 5, Term: 2, Data: []byte("x")}, {Index: 6, Term: 3, Type: raft.LogNoop},
					{Index: 7, Term: 3, Type: raft.LogConfiguration, Data: members}}}, &raft.AppendEntriesResponse{})
		},
		func(to raft.Transport) {
			to.RequestVote("n1", "n1", &raft.RequestVoteRequest{RPCHeader: header, Term: 3, LastLogIndex: 9, LastLogTerm: 2},
				&raft.RequestVoteResponse{})
		},
		func(to raft.Transport) {
			to.(raft.WithPreVote).RequestPreVote("n1", "n1", &raft.RequestPreVoteRequest{RPCHeader: header, Term: 3},
				&raft.RequestPreVoteResponse{})
		},
		func(to raft.Transport) {
			to.InstallSnapshot("n1", "n1", &raft.InstallSnapshotRequest{RPCHeader: header, SnapshotVersion: 1, Term: 3,
				LastLogIndex: 9, LastLogTerm: 2, Size: 4, Configuration: members}, &raft.InstallSnapshotResponse{},
				strings.NewReader("true"))
		},
		func(to raft.Transport) {
			to.TimeoutNow("n1", "n1", &raft.TimeoutNowRequest{RPCHeader: header}, &raft.TimeoutNowResponse{})
		},
	} {
		all = append(all, written(t, send))
	}
	return all
}

// FuzzMessages has a member that greeted as one of ours say anything: what reaches raft is what raft can take, and
// nothing panics or waits for ever.
func FuzzMessages(f *testing.F) {
	for _, b := range sampleMessages(f) {
		f.Add(b)
	}
	f.Add([]byte{0, 0x81, 0xa7, 'E', 'n', 't', 'r', 'i', 'e', 's', 0x91, 0xc0})
	f.Fuzz(converse)
}

// converse has a member say this to a node.
func converse(t *testing.T, b []byte) {
	over := make(chan struct{})
	line := newOneLine(&screened{Conn: &wire{Reader: bytes.NewReader(b), closed: over}, screen: screen{requests: true}})
	network := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: line, MaxPool: 1,
		Logger: hclog.NewNullLogger(), MsgpackUseNewTimeFormat: true})
	closed := make(chan struct{})
	box := &inbox{in: network.Consumer(), out: make(chan raft.RPC), closed: closed, plants: &plants{}, self: "n1",
		askers: askers{func() []raft.ServerID { return []raft.ServerID{"n1", "n2"} }},
		follow: func(uint64, raft.ServerID) bool { return true }}
	box.done.Go(box.run)
	ended := make(chan struct{})
	go func() { // raft's main loop
		defer close(ended)
		for {
			select {
			case rpc := <-box.out:
				rpc.Respond(takeAsRaft(t, rpc), nil)
			case <-closed:
				return
			}
		}
	}()
	select { // the transport hangs up when there is nothing more, or nothing that it understands
	case <-over:
	case <-time.After(30 * time.Second):
		t.Fatal("the messages were not taken")
	}
	network.Close()
	close(closed)
	box.done.Wait()
	<-ended
}

// takeAsRaft does with a message what raft does first, and looks at what raft trusts in.
func takeAsRaft(t *testing.T, rpc raft.RPC) any {
	switch m := rpc.Command.(type) {
	case *raft.AppendEntriesRequest:
		last := m.PrevLogEntry
		for _, e := range m.Entries {
			if e.Index != last+1 {
				t.Errorf("entry %d follows %d", e.Index, last)
			}
			last = e.Index
			if e.Type == raft.LogConfiguration {
				raft.DecodeConfiguration(e.Data)
			}
		}
		return &raft.AppendEntriesResponse{Success: true}
	case *raft.InstallSnapshotRequest:
		raft.DecodeConfiguration(m.Configuration)
		if _, err := io.Copy(io.Discard, rpc.Reader); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Log(err)
		}
		return &raft.InstallSnapshotResponse{Success: true}
	case *raft.RequestVoteRequest:
		return &raft.RequestVoteResponse{}
	case *raft.RequestPreVoteRequest:
		return &raft.RequestPreVoteResponse{}
	}
	return &raft.TimeoutNowResponse{}
}
