package agent

import (
	"cmp"
	"fmt"
	"slices"

	"pentad.dev/pentad/federation/feed"
)

// Status is what an agent knows of itself, for its admin page.
type Status struct {
	Cluster string `json:"cluster"`
	// Feeds are those that the agent writes.
	Feeds   map[feed.ID]feed.Report `json:"feeds"`
	Sources []SourceStatus          `json:"sources"`
	// Peers are the servers, of which one is active, then the relays.
	Peers []feed.PeerStatus `json:"peers"`
}

// SourceStatus is a source and what was read from it.
type SourceStatus struct {
	Name string `json:"name"`
	// Answered says that the whole set was read since the agent's start.
	Answered  bool   `json:"answered"`
	Error     string `json:"error,omitempty"`
	Services  int    `json:"services"`
	Endpoints int    `json:"endpoints"`
	// Detail is the adapter's own Status(), if it has one.
	Detail any `json:"detail,omitempty"`
}

// Status may be called from any goroutine.
func (a *Agent) Status() Status {
	s := Status{Cluster: a.cfg.Cluster, Feeds: a.set.Report(), Peers: a.publisher.Status()}
	for _, r := range a.sources {
		s.Sources = append(s.Sources, r.status())
	}
	slices.SortFunc(s.Sources, func(a, b SourceStatus) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// Ready says why the agent does not serve yet: a source that has not answered.
func (a *Agent) Ready() error {
	for _, r := range a.sources {
		if err := r.ready(); err != nil {
			return err
		}
	}
	return nil
}

func (r *running) status() SourceStatus {
	r.report.mu.Lock()
	defer r.report.mu.Unlock()
	s := SourceStatus{
		Name: r.name, Answered: r.report.answered, Services: r.report.services, Endpoints: r.report.endpoints,
	}
	if err := r.report.trouble(); err != nil {
		s.Error = err.Error()
	}
	if detailed, ok := r.source.(interface{ Status() any }); ok {
		s.Detail = detailed.Status()
	}
	return s
}

func (r *running) ready() error {
	r.report.mu.Lock()
	defer r.report.mu.Unlock()
	if r.report.answered {
		return nil
	}
	return fmt.Errorf("source %s: %w", r.name, r.report.trouble())
}
