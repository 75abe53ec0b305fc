package consensus

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// mouth sends messages as a member, over connections of its own. It takes none.
func (m *member) mouth(t *testing.T) raft.Transport {
	cfg := &m.node.cfg
	s := &stream{parties: m.node.parties(), client: cfg.ClientTLS, dial: dialTCP, timeout: time.Minute,
		logger: hclog.NewNullLogger(), conns: map[*trackedConn]struct{}{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	over := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: deaf{s}, MaxPool: 1, Timeout: time.Minute,
		Logger: hclog.NewNullLogger(), MsgpackUseNewTimeFormat: true})
	t.Cleanup(func() { over.Close() })
	return over
}

// deaf is a stream without callers.
type deaf struct{ *stream }

func (d deaf) Accept() (net.Conn, error) { <-d.ctx.Done(); return nil, d.ctx.Err() }
func (d deaf) Close() error              { d.cancel(); return nil }
func (d deaf) Addr() net.Addr            { return advertised("nobody") }

// lateSnapshot has a leader's snapshot arrive at a member that has gone on since.
func lateSnapshot(t *testing.T, p plants) error {
	c := newCluster(t, 3, func(_ int, cfg *Config) {
		cfg.break_ = p
		cfg.SnapshotThreshold, cfg.TrailingLogs, cfg.SnapshotInterval = 20, 5, 20*time.Millisecond
	})
	defer c.drop()
	var l, far *member
	var meta *raft.SnapshotMeta
	for i := 0; meta == nil; i++ {
		l, _ = c.put("k", fmt.Sprint("before ", i))
		if all, err := l.node.folder.snaps.List(); err == nil && len(all) > 0 {
			meta = all[0]
		}
	}
	_, content, err := l.node.folder.snaps.Open(meta.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	snapshot, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	far = c.others(l)[0]
	_, index := c.put("k", "after")
	if err := far.node.WaitApplied(timeout(t, time.Minute), index); err != nil {
		t.Fatal(err)
	}
	// From now on it hears only this snapshot, and no other leader either. Raft would panic at the next commit.
	c.links.isolate(far.id)
	applied := far.node.raft.Load().AppliedIndex()
	req := &raft.InstallSnapshotRequest{
		RPCHeader:       raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(l.id), Addr: []byte(l.id)},
		SnapshotVersion: meta.Version, LastLogIndex: meta.Index, LastLogTerm: meta.Term,
		Configuration: raft.EncodeConfiguration(meta.Configuration), ConfigurationIndex: meta.ConfigurationIndex,
		Size: int64(len(snapshot)),
	}
	var resp raft.InstallSnapshotResponse
	to := l.mouth(t)
	eventually(t, "the late snapshot is taken", func() bool {
		req.Term = far.node.raft.Load().CurrentTerm() // whoever leads by now
		err := to.InstallSnapshot(raft.ServerID(far.id), raft.ServerAddress(far.address), req, &resp, bytes.NewReader(snapshot))
		return err == nil && resp.Success
	})
	if now := far.node.raft.Load().AppliedIndex(); now < applied {
		c.stop(far)
		return fmt.Errorf("a snapshot up to %d came late: what was applied went back from %d to %d", meta.Index, applied, now)
	}
	c.links.set(nil)
	_, index = c.put("k", "last")
	return far.node.WaitApplied(timeout(t, time.Minute), index)
}
