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
	s := &stream{parties: m.node.parties(), client: cfg.ClientTLS, dial: dialTCP, timeout: cfg.RPCTimeout,
		logger: hclog.NewNullLogger(), conns: map[*trackedConn]struct{}{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	over := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: deaf{s}, MaxPool: 1, Timeout: cfg.RPCTimeout,
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
	l := c.leader()
	far := c.others(l)[0]
	var meta *raft.SnapshotMeta
	for i := 0; meta == nil; i++ {
		c.put("k", fmt.Sprint("before ", i))
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
	_, index := c.put("k", "after")
	if err := far.node.WaitApplied(timeout(t, 20*time.Second), index); err != nil {
		t.Fatal(err)
	}
	applied := far.node.raft.Load().AppliedIndex()
	req := &raft.InstallSnapshotRequest{
		RPCHeader:       raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(l.id), Addr: []byte(l.id)},
		SnapshotVersion: meta.Version, Term: l.node.raft.Load().CurrentTerm(), LastLogIndex: meta.Index, LastLogTerm: meta.Term,
		Configuration: raft.EncodeConfiguration(meta.Configuration), ConfigurationIndex: meta.ConfigurationIndex,
		Size: int64(len(snapshot)),
	}
	var resp raft.InstallSnapshotResponse
	if err := l.mouth(t).InstallSnapshot(raft.ServerID(far.id), raft.ServerAddress(far.address), req, &resp, bytes.NewReader(snapshot)); err != nil || !resp.Success {
		t.Fatalf("the answer to a late snapshot: %+v, %v", resp, err)
	}
	// Raft would panic at the next commit: no entry is proposed before this is known.
	if now := far.node.raft.Load().AppliedIndex(); now < applied {
		return fmt.Errorf("a snapshot up to %d came late: what was applied went back from %d to %d", meta.Index, applied, now)
	}
	_, index = c.put("k", "last")
	return far.node.WaitApplied(timeout(t, 20*time.Second), index)
}
