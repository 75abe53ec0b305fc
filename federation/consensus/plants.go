package consensus

import (
	"errors"

	"github.com/hashicorp/raft"
)

var errNoAddress = errors.New("nobody told its address")

// plants violate one rule each, for the tests that show that the violation is found. Nothing outside of tests can set
// them; the zero value keeps every rule.
type plants struct {
	heartbeatFastPath   bool // rule 1: raft handles heartbeats beside its main loop
	countEarlierAnswers bool // rule 2: an answer counts by when it came, not by when its message was sent
	joinInFlight        bool // rule 2: a read takes the number of one that is waiting already
	trustAppliedIndex   bool // rule 2: a read does not wait for the state machine
	skipOwnEntry        bool // rule 2: a read does not wait for an entry of this term
	stockBackoff        bool // raft doubles its wait for a member that does not answer
	takeLateSnapshots   bool // a snapshot is installed although this node has more
	starveHeartbeats    bool // no heartbeat is answered while a snapshot is installed
	noSync              bool // promise 1: what is written is not synced
	standThoughFull     bool // a node whose disk is full stands for election
	cutWithoutRoom      bool // rule 4: the log's end is cut off whether there is room for what follows or not
	forgiveSync         bool // rule 4: a failed sync is taken for a good one
	noDiskTimeout       bool // rule 4: a disk that hangs goes unnoticed
	enrollAnywhere      bool // a folder can be enrolled in a second cluster
	forgetEnrolment     bool // an enrolment is not written to disk
	trustPeers          bool // nobody looks at what a peer says of itself
	trustNames          bool // nobody compares a peer's name with its certificate
	trustSenders        bool // nobody compares who sends a message with who is at the connection's other end
	joinTripUnderWay    bool // rule 2: a read joins a trip to the leader that began before it
	trustFolders        bool // nobody compares a peer's data folder with the one that its name is known with
	promoteAnyone       bool // a replica is promoted however far behind it is
	changeBlindly       bool // a voter is taken out without a look at who is left
	strangersGetNoVote  bool // raft refuses its vote to who is no voter in an old configuration
	countFormerVoters   bool // a read's majority is that of the voters at the start
	forgetOwnSync       bool // a leader counts its own entries before they are synced
	noMend              bool // the log's end is left as the crash left it
}

// gate stands between a node and the others, for tests. Each call may block.
type gate interface {
	// send is asked before a message goes out; an error keeps it here. req is nil for the opening of a pipeline.
	send(to raft.ServerID, req any) error
	// answer is asked before the answer to a message is let in.
	answer(from raft.ServerID, req any) error
}

func (t *transport) enter(to raft.ServerID, req any) error {
	t.observe(req)
	if t.gate == nil {
		return nil
	}
	return t.gate.send(to, req)
}

func (t *transport) leave(from raft.ServerID, req any) error {
	if t.gate == nil {
		return nil
	}
	return t.gate.answer(from, req)
}

// lostAnswer is an answer that never came.
type lostAnswer struct{ raft.AppendFuture }

// Response implements raft.AppendFuture.
func (lostAnswer) Response() *raft.AppendEntriesResponse { return &raft.AppendEntriesResponse{} }

// soonest returns what the first of those who wait waits for, or number if nobody does.
func (g *gauge) soonest(number uint64) uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) > 0 {
		return g.waiting[0].until
	}
	return number
}
