package consensus

import (
	"bytes"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// inbox is what messages pass on their way from the network to raft's main loop: what no raft sends is refused, who asks
// for a vote is looked at (votes.go), a snapshot that comes late is not installed (late.go), and while the main loop
// installs one, heartbeats are answered for it.
//
// Raft takes a whole snapshot in its main loop: over the network, onto the disk, into the state machine. That may last
// for minutes, and as long no heartbeat would be answered: a leader that has only a bare majority, and this node in it,
// leaves office over and over, and reads stop with it.
//
// So a heartbeat from the leader whose snapshot it is, in the term of that snapshot, is answered beside the main loop.
// This is not the fast path of rule 1: no state changes. The answer says that this node was in that term, as a follower
// of that leader, after the heartbeat was sent, which is looked at for each; the main loop would say the same. That the
// disk gets on meanwhile is looked at by whoever writes the snapshot.
type inbox struct {
	in     <-chan raft.RPC
	out    chan raft.RPC
	askers askers
	follow func(term uint64, leader raft.ServerID) bool // this node follows that leader in that term
	holds  func(index, term uint64) bool                // this node has everything up to that entry
	self   string
	plants *plants
	closed <-chan struct{}
	done   sync.WaitGroup
}

func newInbox(in <-chan raft.RPC, n *Node, closed <-chan struct{}) *inbox {
	b := &inbox{in: in, out: make(chan raft.RPC), askers: askers{n.voters}, follow: n.follows, holds: n.holds, self: n.cfg.ID,
		plants: &n.cfg.break_, closed: closed}
	b.done.Go(b.run)
	return b
}

func (b *inbox) run() {
	var waiting []raft.RPC // in the order in which they came; at most one for each connection
	var installing *raft.InstallSnapshotRequest
	installed := make(chan *raft.InstallSnapshotRequest)
	for {
		var out chan raft.RPC
		var next raft.RPC
		if len(waiting) > 0 {
			out, next = b.out, waiting[0]
		}
		// The main loop enters the snapshot's term a moment after it took the snapshot.
		var again <-chan time.Time
		if installing != nil && len(waiting) > 0 {
			again = time.After(10 * time.Millisecond)
		}
		select {
		case rpc := <-b.in:
			if err := checkMessage(rpc.Command); err != nil {
				rpc.Respond(nil, fmt.Errorf("%w: %w", ErrPeer, err))
				continue
			}
			b.askers.look(rpc)
			if !b.answered(rpc, installing) {
				waiting = append(waiting, b.watched(rpc, installed))
			}
		case out <- next:
			waiting = waiting[1:]
			if req, ok := next.Command.(*raft.InstallSnapshotRequest); ok {
				installing = req
			}
		case <-again:
			waiting = b.unanswered(waiting, installing)
		case over := <-installed:
			// The next snapshot, which came over another connection, may have been taken before this is known.
			if over == installing {
				installing = nil
			}
		case <-b.closed:
			return
		}
	}
}

// watched returns a message with which installed is told when raft has answered it, if it is a snapshot.
func (b *inbox) watched(rpc raft.RPC, installed chan<- *raft.InstallSnapshotRequest) raft.RPC {
	req, ok := rpc.Command.(*raft.InstallSnapshotRequest)
	if !ok {
		return rpc
	}
	content := &lateContent{Reader: rpc.Reader, late: func() bool {
		return b.holds(req.LastLogIndex, req.LastLogTerm) && !b.plants.takeLateSnapshots
	}}
	rpc.Reader = content
	asked, answers := rpc.RespChan, make(chan raft.RPCResponse, 1)
	rpc.RespChan = answers
	b.done.Go(func() {
		select {
		case answer := <-answers:
			asked <- content.answer(answer)
		case <-b.closed:
			return
		}
		select {
		case installed <- req:
		case <-b.closed:
		}
	})
	return rpc
}

// unanswered answers those that can be from what waits, and returns the others.
func (b *inbox) unanswered(waiting []raft.RPC, installing *raft.InstallSnapshotRequest) []raft.RPC {
	var left []raft.RPC
	for _, rpc := range waiting {
		if !b.answered(rpc, installing) {
			left = append(left, rpc)
		}
	}
	return left
}

// answered answers a heartbeat while the snapshot of who sent it is installed.
func (b *inbox) answered(rpc raft.RPC, installing *raft.InstallSnapshotRequest) bool {
	if installing == nil || b.plants.starveHeartbeats {
		return false
	}
	beat, ok := rpc.Command.(*raft.AppendEntriesRequest)
	if !ok || !isHeartbeat(beat) || beat.Term != installing.Term || !bytes.Equal(beat.ID, installing.ID) ||
		!b.follow(beat.Term, raft.ServerID(beat.ID)) {
		return false
	}
	rpc.Respond(&raft.AppendEntriesResponse{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(b.self), Addr: []byte(b.self)},
		Term:      beat.Term, Success: true,
	}, nil)
	return true
}

// follows says whether this node follows that leader in that term, at some moment of the call.
func (n *Node) follows(term uint64, leader raft.ServerID) bool {
	r := n.raft.Load()
	if r == nil || r.CurrentTerm() != term || r.State() != raft.Follower {
		return false
	}
	_, id := r.LeaderWithID()
	return id == leader && r.CurrentTerm() == term // terms only grow: it was that one all the time
}

// checkMessage says what is wrong with a message that no raft sends, and that raft would panic at or take to its log's
// harm.
func checkMessage(command any) error {
	switch m := command.(type) {
	case *raft.AppendEntriesRequest:
		term := m.PrevLogTerm
		for i, e := range m.Entries {
			switch {
			case e == nil || e.Index != m.PrevLogEntry+1+uint64(i) || e.Term < term || e.Term > m.Term:
				return fmt.Errorf("entry %d of a message of term %d does not follow what is before it", i, m.Term)
			case e.Type == raft.LogConfiguration:
				if err := checkConfiguration(e.Data); err != nil {
					return fmt.Errorf("entry %d: %w", e.Index, err)
				}
			case e.Type != raft.LogCommand && e.Type != raft.LogNoop && e.Type != raft.LogBarrier:
				return fmt.Errorf("entry %d is of type %d", e.Index, e.Type)
			}
			term = e.Term
		}
	case *raft.InstallSnapshotRequest:
		if m.Size < 0 || m.LastLogIndex == 0 || m.LastLogTerm == 0 || m.LastLogTerm > m.Term || m.SnapshotVersion != raft.SnapshotVersionMax {
			return fmt.Errorf("snapshot of %d bytes, version %d, up to entry %d of term %d in term %d", m.Size, m.SnapshotVersion,
				m.LastLogIndex, m.LastLogTerm, m.Term)
		}
		return checkConfiguration(m.Configuration)
	}
	return nil
}

// checkConfiguration reads a configuration as raft does, which panics at what it cannot read.
func checkConfiguration(b []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("configuration: %v", p)
		}
	}()
	c := raft.DecodeConfiguration(b)
	ids := map[raft.ServerID]bool{}
	voters := 0
	for _, s := range c.Servers {
		if s.ID == "" || s.Address == "" || ids[s.ID] || s.Suffrage > raft.Staging {
			return fmt.Errorf("configuration: member %q at %q", s.ID, s.Address)
		}
		ids[s.ID] = true
		if s.Suffrage == raft.Voter {
			voters++
		}
	}
	if voters == 0 {
		return fmt.Errorf("configuration: nobody of %d members votes", len(ids))
	}
	return nil
}
