package consensus

import (
	"errors"
	"io"

	"github.com/hashicorp/raft"
)

var errLateSnapshot = errors.New("everything in this snapshot is here already")

// lateContent is the content of a snapshot on its way into raft, which ends at its beginning if this node has everything
// that is in it.
//
// A message may arrive late: the leader did not wait any longer, sent the snapshot again over another connection, and
// the entries behind it. Raft installs whatever comes in its term: the state machine goes back, and the whole log is
// removed, with entries that this node has acknowledged, and that may be committed by that alone. Raft's own rule
// (Ongaro and Ousterhout 2014, figure 13, step 6) is to keep the log of who has the snapshot's last entry.
//
// The main loop itself asks, with its first read: so nothing is decided on what was true a moment before.
type lateContent struct {
	io.Reader
	late  func() bool
	asked bool
	was   bool // set before raft answers
}

// Read implements io.Reader.
func (c *lateContent) Read(p []byte) (int, error) {
	if !c.asked {
		c.asked = true
		if c.was = c.late(); c.was {
			if _, err := io.Copy(io.Discard, c.Reader); err != nil { // what follows on the connection is the next message
				return 0, errors.Join(errLateSnapshot, err)
			}
			return 0, errLateSnapshot
		}
	}
	return c.Reader.Read(p)
}

// answer is what the leader is told: what raft says, and of a late snapshot that it is here.
func (c *lateContent) answer(a raft.RPCResponse) raft.RPCResponse {
	if resp, ok := a.Response.(*raft.InstallSnapshotResponse); ok && c.was {
		resp.Success, a.Error = true, nil
	}
	return a
}

// holds says whether this node has everything up to that entry of a leader's snapshot, in its state machine or to be
// applied from its log. Raft's main loop asks.
func (n *Node) holds(index, term uint64) bool {
	r := n.raft.Load()
	if r == nil {
		return false
	}
	if index <= max(r.CommitIndex(), r.AppliedIndex()) {
		return true
	}
	// The logs of two members with one entry in common are the same up to there.
	var e raft.Log
	return index <= r.LastIndex() && n.folder.store.GetLog(index, &e) == nil && e.Term == term
}
