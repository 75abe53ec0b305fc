package consensus

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

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

// FuzzMessages has a member that greeted as one of ours say anything: what reaches raft is what raft can take, from that
// member, and nothing panics or waits for ever.
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
	line := newOneLine(&screened{Conn: &wire{Reader: bytes.NewReader(b), closed: over}, screen: screen{requests: true, from: "n2"}})
	network := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: line, MaxPool: 1,
		Logger: hclog.NewNullLogger(), MsgpackUseNewTimeFormat: true})
	closed := make(chan struct{})
	box := &inbox{in: network.Consumer(), out: make(chan raft.RPC), closed: closed, plants: &plants{}, self: "n1",
		askers: askers{func() []raft.ServerID { return []raft.ServerID{"n1", "n2"} }},
		follow: func(uint64, raft.ServerID) bool { return true },
		holds:  func(index, _ uint64) bool { return index%2 == 0 }}
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
	if h := rpc.Command.(raft.WithRPCHeader).GetRPCHeader(); string(h.ID) != "n2" || string(h.Addr) != "n2" {
		t.Errorf("a message of %q at %q on the connection of n2", h.ID, h.Addr)
	}
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
