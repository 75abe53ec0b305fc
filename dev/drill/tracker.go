package drill

import (
	"context"
	"slices"
	"sync"
	"time"

	"pentad.dev/pentad/dev/drill/oracle"
	"pentad.dev/pentad/dev/sample/record"
)

// tracker follows endpoint changes to the data planes. Observers say what they see, changes say what is to be seen.
type tracker struct {
	mu        sync.Mutex
	observers map[string]*observer
	changes   []*change
	wake      chan struct{} // closed and made anew at every arrival
}

// observer is a data plane.
type observer struct {
	// center limits it to changes in one center; empty: it sees all.
	center string
	// connected since; zero: it is not.
	since record.Time
	// leaves are its picking sets by service and leaf; a probe has one leaf.
	leaves map[string]map[uint64][]string
}

// change is one that is under way.
type change struct {
	oracle.Change
	address string
	center  string
	in      bool // the address is to be there, or not
	killed  bool // nobody changed the registry: health checks have to find it
	excused bool // its agent or its process was ended by somebody else before it had arrived
	// required are the observers that were connected when it was made and did not disconnect before it arrived.
	required map[string]bool
}

func newTracker() *tracker {
	return &tracker{observers: map[string]*observer{}, wake: make(chan struct{})}
}

// connect says that an observer has begun (again) or has ended.
func (t *tracker) connect(name, center string, on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	o := t.observers[name]
	if o == nil {
		o = &observer{center: center}
		t.observers[name] = o
	}
	if on {
		o.since, o.leaves = record.Now(), map[string]map[uint64][]string{}
		return
	}
	o.since = 0
	for _, c := range t.changes {
		if _, arrived := c.Arrivals[name]; !arrived {
			delete(c.required, name)
		}
	}
	t.arrived()
}

// saw takes what an observer picks from now, for one leaf of a service. Times of one observer must not go back.
func (t *tracker) saw(name, service string, leaf uint64, at record.Time, addresses []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	o := t.observers[name]
	if o == nil || o.since == 0 {
		return
	}
	if o.leaves[service] == nil {
		o.leaves[service] = map[uint64][]string{}
	}
	o.leaves[service][leaf] = addresses
	later := map[string]bool{} // addresses whose newest change this update may show
	for _, c := range slices.Backward(t.changes) {
		if c.Service != service || c.At > at || later[c.address] {
			continue
		}
		later[c.address] = true
		if _, arrived := c.Arrivals[name]; !arrived && c.required[name] && o.has(service, c.address) == c.in {
			c.Arrivals[name] = at
		}
	}
	t.arrived()
}

func (o *observer) has(service, address string) bool {
	for _, addresses := range o.leaves[service] {
		if slices.Contains(addresses, address) {
			return true
		}
	}
	return false
}

func (t *tracker) arrived() {
	close(t.wake)
	t.wake = make(chan struct{})
}

// begin makes a change: do carries it out and returns its instant.
func (t *tracker) begin(c change, do func() (record.Time, error)) (*change, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, err := do()
	if err != nil {
		return nil, err
	}
	c.At, c.Arrivals, c.required = at, map[string]record.Time{}, map[string]bool{}
	for name, o := range t.observers {
		if o.since != 0 && (o.center == "" || o.center == c.center) && o.has(c.Service, c.address) != c.in {
			c.required[name] = true // one that has it already will not say so again
		}
	}
	t.changes = append(t.changes, &c)
	return &c, nil
}

// excuse says that somebody else ended what brings the changes of a center on their way, or what they are about.
func (t *tracker) excuse(center string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.changes {
		c.excused = c.excused || c.center == center && len(t.missing(c)) > 0
	}
}

// wait returns when every probe has seen the change, and says whether that was within the time. Clients' own sets are
// read from files a little later and are not waited for.
func (t *tracker) wait(ctx context.Context, c *change, within time.Duration) bool {
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	for {
		t.mu.Lock()
		missing := slices.ContainsFunc(t.missing(c), func(name string) bool { return t.observers[name].center == "" })
		wake := t.wake
		t.mu.Unlock()
		if !missing {
			return true
		}
		select {
		case <-wake:
		case <-timeout.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

func (t *tracker) missing(c *change) []string {
	var names []string
	for name := range c.required {
		if _, arrived := c.Arrivals[name]; !arrived {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// results are all changes as they are now, and the times in which sudden deaths were found.
func (t *tracker) results() (changes []oracle.Change, detections []time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	newest := map[string]*change{}
	for _, c := range t.changes {
		newest[c.address] = c
	}
	for _, c := range t.changes {
		out := c.Change
		out.Arrivals = map[string]record.Time{}
		for name, at := range c.Arrivals {
			out.Arrivals[name] = at
		}
		missing := t.missing(c)
		switch {
		case c.excused || len(missing) > 0 && newest[c.address] != c:
			out.Superseded = true
		default:
			out.Missing = missing
		}
		if c.killed {
			if len(out.Missing) == 0 && !out.Superseded {
				detections = append(detections, out.Spread())
			}
			continue
		}
		changes = append(changes, out)
	}
	return changes, detections
}
