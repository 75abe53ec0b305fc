package server

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
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
	// Waits is why the server is enrolled in no cluster yet; Cluster is the id of the one that it is enrolled in.
	Waits   string `json:"waits,omitempty"`
	Cluster string `json:"cluster,omitempty"`
	// Level is the highest level of commands in the log as applied here, Knows that of the server's version.
	Level uint32 `json:"level"`
	Knows uint32 `json:"knows"`
	// Members are all servers, as the leader sees them; empty at other servers.
	Members []Member `json:"members,omitempty"`
	// Reconciling is what a restored estate waits for.
	Reconciling []string `json:"reconciling,omitempty"`
	// Held is why clusters that could expire are not withdrawn: as this server finds if it leads, else as the Estate says.
	Held *Held `json:"held,omitempty"`
	// Revision is the intent's, as applied here.
	Revision uint64 `json:"revision,string"`
	// Feeds are the copies that the server holds, the intent with them.
	Feeds map[feed.ID]feed.Report `json:"feeds"`
	// Clusters are the declared ones as this server hears of them.
	Clusters []ClusterStatus `json:"clusters,omitempty"`
	// Peers are the connections to the other servers.
	Peers []feed.PeerStatus `json:"peers"`
}

func (s *Core) status() Status {
	waits := ""
	if err := s.enrolment.pending(); err != nil {
		waits = err.Error()
	}
	return Status{
		Waits: waits, Cluster: s.node.Folder().Cluster, Level: s.machine.Level(), Knows: s.machine.Knows(), Members: s.seen(),
		Name: s.config.Name, Place: s.config.Place, Version: process.Version(), Raft: s.node.Status(),
		Held:        s.held(),
		Reconciling: s.machine.View().Ownership().Reconciling(), Revision: s.machine.Revision(), Feeds: s.feeds.Report(), Peers: s.follower.Status(),
		Clusters: s.clusterStatus(),
	}
}

// seen are all servers as this one sees them, if it leads.
func (s *Core) seen() []Member {
	r := s.reign.Load()
	if r == nil {
		return nil
	}
	var all []Member
	for _, m := range s.memberStates(r.began) {
		all = append(all, memberOf(m))
	}
	slices.SortFunc(all, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// Held is why clusters that were not heard of for keepFor are kept all the same.
type Held struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// held does without an Estate object where this server leads.
func (s *Core) held() *Held {
	if h := s.controller.Held(); h != nil {
		return &Held{Reason: h.GetReason(), Message: h.GetMessage()}
	}
	estate, ok := s.machine.View().Estate()
	if !ok || s.reign.Load() != nil {
		return nil
	}
	if c := meta.FindStatusCondition(estate.Status.Conditions, v1alpha1.ConditionWithdrawalsHeld); c != nil && c.Status == metav1.ConditionTrue {
		return &Held{Reason: c.Reason, Message: c.Message}
	}
	return nil
}
