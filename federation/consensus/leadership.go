package consensus

import (
	"context"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// Leadership is who leads, as far as this node knows.
type Leadership struct {
	// ID and Address name the leader; empty while none is known.
	ID, Address string
	// Term is the node's current term.
	Term uint64
	// Local says that this node is the leader.
	Local bool
}

// Status is what a node knows of itself and its cluster.
type Status struct {
	ID      string `json:"id"`
	State   string `json:"state"` // follower, candidate, leader, stopped
	Term    uint64 `json:"term"`
	Leader  string `json:"leader"` // id, empty while none is known
	Address string `json:"leaderAddress"`
	// Commit is the highest index that this node knows to be committed, Applied the index of the last command that
	// its state machine applied. Applied stays behind Commit by entries that are not commands.
	Commit  uint64 `json:"commit"`
	Applied uint64 `json:"applied"`
	// LastContact is how long ago this node heard its leader: 0 at the leader, -1 if never.
	LastContact time.Duration `json:"lastContact"`
	Voters      []Member      `json:"voters"`
	// DiskFull says that entries were refused lately for want of room on the disk, and none was stored since.
	DiskFull bool `json:"diskFull,omitempty"`
	// Refused are the members with which this node does not talk, because one of the two refuses the other.
	Refused []Refusal `json:"refused,omitempty"`
}

// fullFor is for how long a status tells of a full disk that nobody has tried again.
const fullFor = time.Minute

// Leader returns the leader's id and address, empty while none is known, and this node's term.
func (n *Node) Leader() (id, address string, term uint64) {
	r := n.raft.Load()
	if r == nil {
		return "", "", 0
	}
	_, i := r.LeaderWithID()
	return string(i), n.address(string(i)), r.CurrentTerm()
}

// IsLeader says whether this node is the leader, as far as it knows: another may have been elected since. Only
// Propose and ReadIndex can tell.
func (n *Node) IsLeader() bool {
	r := n.raft.Load()
	return r != nil && n.state(r) == raft.Leader
}

// state is raft's state, and Shutdown once raft has stopped: its main loop may have taken up another one behind that.
func (n *Node) state(r *raft.Raft) raft.RaftState {
	select {
	case <-n.stopped:
		return raft.Shutdown
	default:
		return r.State()
	}
}

// Leadership returns who leads, and a channel that is closed when that may have changed since.
func (n *Node) Leadership() (Leadership, <-chan struct{}) {
	changed := *n.changed.Load() // before the look, so that no change falls between
	id, address, term := n.Leader()
	return Leadership{ID: id, Address: address, Term: term, Local: n.IsLeader()}, changed
}

// watchLeadership drains what raft says of leadership changes, wakes those who watch it, and ends the reads of a term
// in which this node does not lead any more.
func (n *Node) watchLeadership(ctx context.Context, r *raft.Raft, notify <-chan bool) {
	// Only the fact that something changed is taken from an observation, so one may be dropped when the channel is full.
	seen := make(chan raft.Observation, 64)
	o := raft.NewObserver(seen, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState:
			return true
		}
		return false
	})
	r.RegisterObserver(o)
	defer r.DeregisterObserver(o)
	for {
		term, state := r.CurrentTerm(), r.State()
		switch state {
		case raft.Follower, raft.Shutdown:
			n.rounds.end(term)
		case raft.Candidate:
			n.rounds.end(term - min(term, 1)) // it may still win this one
		}
		next := make(chan struct{})
		close(*n.changed.Swap(&next))
		select {
		case <-notify:
			id, address, term := n.Leader()
			n.log.Info("leadership", "local", n.IsLeader(), "leader", id, "address", address, "term", term)
		case <-seen:
		case <-ctx.Done():
			return
		}
	}
}

// Status returns the node's state.
func (n *Node) Status() Status {
	s := Status{ID: n.cfg.ID, State: "stopped", Applied: n.machine.done.value(), LastContact: -1, Voters: n.cfg.Voters}
	r := n.raft.Load()
	if r == nil {
		return s
	}
	state := n.state(r)
	if state != raft.Shutdown {
		s.State = strings.ToLower(state.String())
	}
	s.Leader, s.Address, s.Term = n.Leader()
	s.Commit = r.CommitIndex()
	if at := r.LastContact(); state == raft.Leader {
		s.LastContact = 0
	} else if !at.IsZero() {
		s.LastContact = time.Since(at)
	}
	s.DiskFull, s.Refused = n.folder.store.fullLately(fullFor), n.refusals.list()
	s.Voters = nil
	for _, m := range n.Members() {
		if m.Voter {
			s.Voters = append(s.Voters, m.Member)
		}
	}
	return s
}
