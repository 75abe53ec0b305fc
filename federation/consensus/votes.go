package consensus

import (
	"slices"

	"github.com/hashicorp/raft"
)

// askers lets those ask for votes whom this node does not know as voters.
//
// A voter that was away while the cluster grew does not know the new voters, and raft has it refuse them its vote: three
// of five that are alive and connected then elect nobody, for as long as the others are gone. Raft itself (Ongaro's
// dissertation, 4.1 and 4.2.3) gives a vote to whoever's log is far enough, wherever it stands in a configuration that
// may be old; that a removed voter disturbs nobody is because it is refused while there is a leader, and because its log
// is behind when there is none.
//
// So a request from somebody who is no voter here loses its sender's id, which is what raft looks up. The vote itself is
// kept under the sender's address, which within raft is its id as well.
type askers struct {
	voters func() []raft.ServerID // as this node knows them
}

func (a askers) look(rpc raft.RPC) {
	switch req := rpc.Command.(type) {
	case *raft.RequestPreVoteRequest:
		// Without an id raft refuses it, so it gets one that may ask: a pre-vote is stored nowhere.
		if voters := a.voters(); len(voters) > 0 && !slices.Contains(voters, raft.ServerID(req.ID)) {
			req.ID = []byte(voters[0])
		}
	case *raft.RequestVoteRequest:
		if voters := a.voters(); len(voters) > 0 && !slices.Contains(voters, raft.ServerID(req.ID)) {
			req.ID = nil
		}
	}
}
