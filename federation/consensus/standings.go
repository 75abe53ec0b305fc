package consensus

import (
	"fmt"
	"maps"
	"sync"
)

// standings is with which data folder each member belongs to the cluster, as far as this node knows: by the table that
// SetFolders brings, else by the founders' roster. A node that lost its disk comes back under its name with another
// folder; the old disk, should it turn up again, must neither vote nor be filled under that name.
//
// A table may be old: a voter that was away while another one was replaced knows the folder of before, and the new one
// may be whom it needs for a majority. So who greets says up to which command it has a table in which its folder is
// the one of its name. One whose table is newer is believed; the old disk's is older than the replacement, and a table
// that has the replacement names another folder.
type standings struct {
	mu      sync.Mutex
	folders map[string]string // by node
	review  func()            // looks at the open connections again; nil while there are none
}

// SetFolders tells with which data folder each member belongs to the cluster, as the state machine has it. Who greets
// with another one is refused (ErrPeer), and connections to such are closed. Of a member that is not named nothing is
// known. Before the first table that names anybody, founders are known by the roster.
func (n *Node) SetFolders(folders map[string]string) {
	s := &n.standings
	s.mu.Lock()
	same := maps.Equal(s.folders, folders)
	s.folders = maps.Clone(folders)
	review := s.review
	s.mu.Unlock()
	if !same && review != nil {
		review()
	}
}

// watch has review called when the table changes.
func (s *standings) watch(review func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.review = review
}

// folderOf returns the data folder of a member, "" if it is not known.
func (n *Node) folderOf(node string) string {
	n.standings.mu.Lock()
	folder, told := n.standings.folders[node], len(n.standings.folders) > 0
	n.standings.mu.Unlock()
	if told {
		return folder
	}
	n.enrolling.Lock()
	defer n.enrolling.Unlock()
	return n.folder.enrolled.Roster[node]
}

// listed is up to which command this node knows that its folder is the one of its name; 0 if it does not.
func (n *Node) listed() uint64 {
	n.standings.mu.Lock()
	folder := n.standings.folders[n.cfg.ID]
	n.standings.mu.Unlock()
	if folder != n.folder.id {
		return 0
	}
	return n.machine.done.value()
}

// parties are the two ends of a connection of this node's.
func (n *Node) parties() parties {
	p := parties{identity: n.identity, listed: n.listed, applied: n.machine.done.value, certOf: n.cfg.CertificateOf,
		trust: n.cfg.break_.trustPeers, trustSenders: n.cfg.break_.trustSenders}
	if !n.cfg.break_.trustFolders {
		p.folderOf = n.folderOf
	}
	if n.cfg.break_.trustNames {
		p.certOf = nil
	}
	return p
}

// replaced says why a member is not taken for the one of its name, "" if it is.
func (p parties) replaced(g greeting) string {
	if p.folderOf == nil || p.trust {
		return ""
	}
	known := p.folderOf(g.node)
	if known == "" || known == g.folder || g.listed > p.applied() {
		return ""
	}
	return fmt.Sprintf("%s has the data folder %s, the cluster knows it with %s: its disk was replaced; take the old one away, "+
		"or empty its data folder and join again", g.node, g.folder, known)
}
