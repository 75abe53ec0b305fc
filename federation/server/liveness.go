package server

import (
	"context"
	"sync"
	"time"

	"pentad.dev/pentad/federation/controller"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/federation/model"
)

const (
	// attends is how often a server notes that it listens.
	attends = time.Second
	// distracted is how long it may fail to before it has not listened: a process that was stopped, a machine that slept.
	distracted = 5 * time.Second
)

// attention is since when a server has listened without a break. Silence is something to report only for who listened.
type attention struct {
	mu          sync.Mutex
	since, last time.Time
}

func newAttention(now time.Time) *attention { return &attention{since: now, last: now} }

func (a *attention) run(ctx context.Context) error {
	ticker := time.NewTicker(attends)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			a.at(time.Now())
		}
	}
}

// at notes that the server listens, and says for how long it has.
func (a *attention) at(now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.last) > distracted {
		a.since = now
	}
	a.last = now
	return now.Sub(a.since)
}

// hearing is what this server hears of clusters: of each, the youngest sign of life in any of its feeds.
func (s *Core) hearing() *intentpb.HearingResponse {
	heard := map[string]*intentpb.ClusterHearing{}
	for _, id := range s.feeds.IDs() {
		cluster, _, ok := model.SplitFeedID(id)
		log, held := s.feeds.Get(id)
		if !ok || !held || log.Position().IsZero() {
			continue
		}
		h := heard[cluster]
		if h == nil {
			h = &intentpb.ClusterHearing{Cluster: cluster}
			heard[cluster] = h
		}
		if age, ok := log.Age(); ok && (!h.Heard || age.Milliseconds() < h.AgeMs) {
			h.Heard, h.AgeMs = true, age.Milliseconds()
		}
	}
	response := &intentpb.HearingResponse{UpMs: s.attention.at(time.Now()).Milliseconds()}
	for _, h := range heard {
		response.Clusters = append(response.Clusters, h)
	}
	return response
}

// Hearing implements the service of servers.
func (f forwarded) Hearing(context.Context, *intentpb.HearingRequest) (*intentpb.HearingResponse, error) {
	return f.server.hearing(), nil
}

// allHearings asks all servers what they hear of clusters.
func (s *Core) allHearings(ctx context.Context) controller.Hearings {
	ctx, cancel := context.WithTimeout(ctx, asksWithin)
	defer cancel()
	voters := s.voters()
	all := controller.Hearings{Voters: len(voters)}
	var mu sync.Mutex
	add := func(name string, said *intentpb.HearingResponse) {
		h := controller.Hearing{
			Server: name, Voter: voters[name], Up: time.Duration(said.GetUpMs()) * time.Millisecond,
			Clusters: map[string]controller.ClusterHearing{},
		}
		for _, c := range said.GetClusters() {
			h.Clusters[c.GetCluster()] = controller.ClusterHearing{
				Heard: c.GetHeard(), Age: time.Duration(c.GetAgeMs()) * time.Millisecond,
			}
		}
		mu.Lock()
		defer mu.Unlock()
		all.Answers = append(all.Answers, h)
	}
	add(s.config.Name, s.hearing())
	var group sync.WaitGroup
	for _, peer := range s.peers.all() {
		group.Go(func() {
			if said, err := peer.intent.Hearing(ctx, &intentpb.HearingRequest{}); err == nil {
				add(peer.Name, said)
			} // else it neither heard nor did not hear, as far as anybody knows
		})
	}
	group.Wait()
	return all
}

// voters are those of the Raft configuration.
func (s *Core) voters() map[string]bool {
	voters := map[string]bool{}
	for _, m := range s.node.Members() {
		if m.Voter {
			voters[m.ID] = true
		}
	}
	return voters
}

// ClusterStatus is a declared cluster as one server hears of it.
type ClusterStatus struct {
	Name string `json:"name"`
	// Heard says that a sign of life reached the server since it started, Age how old the youngest one is.
	Heard bool          `json:"heard"`
	Age   time.Duration `json:"age"`
	// Expired says that the cluster's endpoints are withdrawn, as far as this server knows.
	Expired bool `json:"expired,omitempty"`
}

// clusterStatus is what this server hears of the declared clusters, by name.
func (s *Core) clusterStatus() []ClusterStatus {
	heard := map[string]*intentpb.ClusterHearing{}
	for _, h := range s.hearing().GetClusters() {
		heard[h.GetCluster()] = h
	}
	view := s.machine.View()
	var all []ClusterStatus
	for c := range view.Lookup().Clusters() {
		h := heard[c.Name]
		all = append(all, ClusterStatus{
			Name: c.Name, Heard: h.GetHeard(), Age: time.Duration(h.GetAgeMs()) * time.Millisecond, Expired: view.Expired(c.Name),
		})
	}
	return all
}
