package drill

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"pentad.dev/pentad/dev"
	"pentad.dev/pentad/dev/drill/oracle"
)

// statusTimeout bounds one look at an admin page.
const statusTimeout = 2 * time.Second

// status is the part of a server's or relay's status page that a drill reads.
type status struct {
	Raft struct {
		State string `json:"state"`
		Term  uint64 `json:"term"`
	} `json:"raft"`
	Feeds     map[string]oracle.FeedState `json:"feeds"`
	Resources oracle.FeedState            `json:"resources"`
}

func (d *Drill) status(ctx context.Context, name string, timeout time.Duration) (status, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.site.Admin(name)+"/status", nil)
	if err != nil {
		return status{}, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return status{}, err
	}
	defer response.Body.Close()
	var s status
	if err := json.NewDecoder(response.Body).Decode(&s); err != nil {
		return status{}, fmt.Errorf("status of %s: %w", name, err)
	}
	return s, nil
}

// statuses looks at some processes at once.
func (d *Drill) statuses(ctx context.Context, timeout time.Duration, names ...string) map[string]result {
	var mu sync.Mutex
	var all sync.WaitGroup
	results := map[string]result{}
	for _, name := range names {
		all.Go(func() {
			s, err := d.status(ctx, name, timeout)
			mu.Lock()
			defer mu.Unlock()
			results[name] = result{s, err}
		})
	}
	all.Wait()
	return results
}

type result struct {
	status
	err error
}

// leader is the server that leads in the highest term, empty if none says so.
func (d *Drill) leader(ctx context.Context) string {
	var leader string
	var term uint64
	for name, r := range d.statuses(ctx, statusTimeout/4, d.running(dev.RoleServer)...) {
		if r.err == nil && r.Raft.State == "leader" && r.Raft.Term >= term {
			leader, term = name, r.Raft.Term
		}
	}
	return leader
}

// running are the processes of a role that run.
func (d *Drill) running(roles ...dev.Role) []string {
	var names []string
	for _, name := range d.site.Supervisor().Names(roles...) {
		if s, ok := d.site.Supervisor().Status(name); ok && s.State == dev.StateRunning {
			names = append(names, name)
		}
	}
	return names
}

// runningIn are the processes that run in a region.
func (d *Drill) runningIn(region string) (names []string) {
	for _, name := range d.running() {
		if s, ok := d.site.Supervisor().Status(name); ok && s.Spec.Region == region {
			names = append(names, name)
		}
	}
	return names
}

// holders is what every server and relay holds.
func (d *Drill) holders(ctx context.Context) []oracle.Holder {
	names := d.site.Supervisor().Names(dev.RoleServer, dev.RoleRelay)
	results := d.statuses(ctx, statusTimeout, names...)
	var holders []oracle.Holder
	for _, name := range names {
		s, _ := d.site.Supervisor().Status(name)
		holder := oracle.Holder{
			Process: name,
			Role:    string(s.Spec.Role),
			Center:  s.Spec.Center,
			Feeds:   map[string]oracle.FeedState{},
		}
		if r := results[name]; r.err != nil {
			holder.Error = r.err.Error()
		} else {
			for id, state := range r.Feeds {
				holder.Feeds[id] = state
			}
			if s.Spec.Role == dev.RoleRelay {
				holder.Feeds[oracle.ResourcesFeed] = r.Resources
			}
		}
		holders = append(holders, holder)
	}
	return holders
}
