package server

import (
	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/process"
)

// Status is what the server's status page says.
type Status struct {
	Name string `json:"name"`
	process.Place
	Version string           `json:"version"`
	Raft    consensus.Status `json:"raft"`
	// Revision is the intent's, as applied here.
	Revision uint64 `json:"revision,string"`
	// Feeds are the copies that the server holds, the intent with them.
	Feeds map[feed.ID]feed.Report `json:"feeds"`
	// Peers are the connections to the other servers.
	Peers []feed.PeerStatus `json:"peers"`
}

func (s *Core) status() any {
	return Status{
		Name: s.config.Name, Place: s.config.Place, Version: process.Version(), Raft: s.node.Status(),
		Revision: s.machine.Revision(), Feeds: s.feeds.Report(), Peers: s.follower.Status(),
	}
}
