package consensus

import "github.com/hashicorp/raft"

// Observer sees what a node does, for the oracles of simulations. Its methods are called on the node's own way, by
// several goroutines, and must return at once.
type Observer interface {
	// Leads says that the node sent a message as leader of a term.
	Leads(term uint64)
	// Appended says that an entry was stored: synced, and about to be acknowledged.
	Appended(index, term uint64, data []byte)
}

func (t *transport) observe(req any) {
	if a, ok := req.(*raft.AppendEntriesRequest); ok && t.observer != nil {
		t.observer.Leads(a.Term)
	}
}

func (s *logStore) observe(entries []*raft.Log) {
	if s.observer == nil {
		return
	}
	for _, e := range entries {
		s.observer.Appended(e.Index, e.Term, e.Data)
	}
}
