package consensus

import (
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// transport is raft's network transport with these differences.
//
//   - It never installs raft's heartbeat handler. That handler runs appendEntries beside raft's main loop, and between
//     two steps of an election it gives a node that just won term t the term t+1 of another leader
//     (hashicorp/raft issue 695). Every message goes through the main loop.
//   - It tells rounds of each answered AppendEntries, with the number taken when it was sent.
//   - Replication to a member that cannot be reached waits until it can, see contacts.
//   - Who asks for a vote need not be a voter in a configuration that may be old, see askers.
//   - Heartbeats are answered while a snapshot is installed, and what no raft sends is refused, see inbox.
//   - On the wire, in the stored vote and within raft a node is its id, not its address. Addresses may change; a vote
//     stored as an address would then count for whoever has it now.
type transport struct {
	*raft.NetworkTransport
	rounds   *rounds
	contacts *contacts
	peers    func() (others []raft.ServerID, needed int)
	serves   func(id raft.ServerID, term uint64) bool // this node leads in that term, and that is a member
	inbox    *inbox
	interval time.Duration                                    // between two heartbeats to a member that cannot be reached, at most
	own      func(index uint64, cancel <-chan struct{}) error // returns when an entry is synced here
	full     func(within time.Duration) bool                  // the disk had no room lately
	gate     gate
	plants   *plants
	observer Observer // may be nil
	once     sync.Once
	closed   chan struct{}
}

// maxInFlight is how many messages of entries may be under way to a member. Raft's own 2 suit a rack: over 30 ms, what
// follows the commits alone fills them, and a write waits for up to a round trip before it is sent. See also pace.go.
const maxInFlight = 16

func (n *Node) newTransport(s *stream) *transport {
	cfg := &n.cfg
	t := &transport{rounds: n.rounds, contacts: n.contacts, peers: n.otherVoters, serves: n.serves,
		own: n.folder.store.synced, full: n.folder.store.fullLately, interval: cfg.HeartbeatTimeout / 2,
		gate: cfg.gate, plants: &cfg.break_, observer: cfg.Observer, closed: make(chan struct{})}
	t.NetworkTransport = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		ServerAddressProvider:   targets(n.address),
		Logger:                  n.raftLog,
		Stream:                  s,
		MaxPool:                 4,
		MaxRPCsInFlight:         maxInFlight,
		Timeout:                 cfg.RPCTimeout,
		MsgpackUseNewTimeFormat: true,
	})
	t.inbox = newInbox(t.NetworkTransport.Consumer(), n, t.closed)
	return t
}

// Consumer implements raft.Transport.
func (t *transport) Consumer() <-chan raft.RPC { return t.inbox.out }

// SetHeartbeatHandler implements raft.Transport by not installing the handler.
func (t *transport) SetHeartbeatHandler(handler func(raft.RPC)) {
	if t.plants.heartbeatFastPath {
		t.NetworkTransport.SetHeartbeatHandler(handler)
	}
}

// EncodePeer implements raft.Transport.
func (t *transport) EncodePeer(id raft.ServerID, _ raft.ServerAddress) []byte { return []byte(id) }

// DecodePeer implements raft.Transport.
func (t *transport) DecodePeer(b []byte) raft.ServerAddress { return raft.ServerAddress(b) }

// Close ends everything that waits, and closes the network.
func (t *transport) Close() error {
	t.once.Do(func() { close(t.closed) })
	t.inbox.done.Wait()
	return t.NetworkTransport.Close()
}

// AppendEntries implements raft.Transport.
func (t *transport) AppendEntries(id raft.ServerID, target raft.ServerAddress, req *raft.AppendEntriesRequest,
	resp *raft.AppendEntriesResponse) error {
	heartbeat := isHeartbeat(req)
	if !heartbeat {
		t.await(id, req.Term)
	}
	number := t.rounds.stamp()
	err := t.enter(id, req)
	if err == nil {
		err = t.NetworkTransport.AppendEntries(id, target, req, resp)
	}
	if err == nil {
		err = t.leave(id, req)
	}
	if err != nil {
		t.contacts.failed(id, req.Term)
		return err
	}
	t.answered(id, number, req, resp)
	if err := t.synced(req, t.closed); err != nil {
		return err
	}
	if !heartbeat && !resp.Success && !resp.NoRetryBackoff && resp.Term == req.Term && !t.plants.stockBackoff {
		// The member could not store the entries: its disk is full. Raft would double its wait each time here too.
		resp.NoRetryBackoff = true
		select {
		case <-time.After(t.interval):
		case <-t.closed:
		}
	}
	return nil
}

// isHeartbeat says whether a message is one of raft's heartbeats, which carry nothing.
func isHeartbeat(req *raft.AppendEntriesRequest) bool {
	return req.PrevLogEntry == 0 && req.PrevLogTerm == 0 && len(req.Entries) == 0 && req.LeaderCommitIndex == 0
}

// await returns when replication to a member may go on: it can be reached, or trying is all that is left to do.
func (t *transport) await(id raft.ServerID, term uint64) {
	if t.plants.stockBackoff {
		return
	}
	t.contacts.await(id, term, func() bool { return !t.serves(id, term) }, t.interval, t.closed)
}

func (t *transport) answered(id raft.ServerID, number uint64, req *raft.AppendEntriesRequest,
	resp *raft.AppendEntriesResponse) {
	match := uint64(0)
	if resp.Success && resp.Term == req.Term {
		others, needed := t.peers()
		t.rounds.answered(id, req.Term, number, others, needed)
		match = req.PrevLogEntry + uint64(len(req.Entries))
	}
	t.contacts.answered(id, req.Term, match)
}

// synced holds an answer back until what it answers is synced here too: see overlap.go.
func (t *transport) synced(req *raft.AppendEntriesRequest, cancel <-chan struct{}) error {
	if len(req.Entries) == 0 || t.own == nil {
		return nil
	}
	return t.own(req.Entries[len(req.Entries)-1].Index, cancel)
}

// InstallSnapshot implements raft.Transport. A member that refuses the snapshot, because its disk is full, is asked again
// each half heartbeat timeout, as with entries: raft would double its wait up to 10 s.
func (t *transport) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, req *raft.InstallSnapshotRequest,
	resp *raft.InstallSnapshotResponse, data io.Reader) error {
	for {
		err := t.install(id, target, req, resp, data)
		snapshot, again := data.(io.Seeker)
		if err == nil && (resp.Success || resp.Term > req.Term) || !again || t.plants.stockBackoff {
			return err
		}
		select {
		case <-time.After(t.interval):
		case <-t.closed:
			return err
		}
		if !t.serves(id, req.Term) {
			return err
		}
		if _, err := snapshot.Seek(0, io.SeekStart); err != nil {
			return err
		}
		*resp = raft.InstallSnapshotResponse{}
	}
}

func (t *transport) install(id raft.ServerID, target raft.ServerAddress, req *raft.InstallSnapshotRequest,
	resp *raft.InstallSnapshotResponse, data io.Reader) error {
	t.await(id, req.Term)
	err := t.enter(id, req)
	if err == nil {
		err = t.NetworkTransport.InstallSnapshot(id, target, req, resp, data)
	}
	if err == nil {
		err = t.leave(id, req)
	}
	if err != nil {
		t.contacts.failed(id, req.Term)
		return err
	}
	match := uint64(0)
	if resp.Success {
		match = req.LastLogIndex
	}
	t.contacts.answered(id, req.Term, match)
	return nil
}

// RequestVote implements raft.Transport.
func (t *transport) RequestVote(id raft.ServerID, target raft.ServerAddress, req *raft.RequestVoteRequest,
	resp *raft.RequestVoteResponse) error {
	if err := t.enter(id, req); err != nil {
		return err
	}
	if err := t.NetworkTransport.RequestVote(id, target, req, resp); err != nil {
		return err
	}
	return t.leave(id, req)
}

// RequestPreVote implements raft.WithPreVote. A node whose disk was found full does not stand for a while: in office it
// would refuse the first entry, its own, and leave again. Only for a while, or nobody would find out that there is room.
func (t *transport) RequestPreVote(id raft.ServerID, target raft.ServerAddress, req *raft.RequestPreVoteRequest,
	resp *raft.RequestPreVoteResponse) error {
	if t.full != nil && t.full(8*t.interval) && !t.plants.standThoughFull {
		return ErrDiskFull
	}
	if err := t.enter(id, req); err != nil {
		return err
	}
	if err := t.NetworkTransport.RequestPreVote(id, target, req, resp); err != nil {
		return err
	}
	return t.leave(id, req)
}

// TimeoutNow implements raft.Transport.
func (t *transport) TimeoutNow(id raft.ServerID, target raft.ServerAddress, req *raft.TimeoutNowRequest,
	resp *raft.TimeoutNowResponse) error {
	if err := t.enter(id, req); err != nil {
		return err
	}
	return t.NetworkTransport.TimeoutNow(id, target, req, resp)
}
