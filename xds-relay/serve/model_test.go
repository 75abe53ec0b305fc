package serve

import (
	"fmt"
	"strings"
	"time"

	"pentad.dev/pentad/federation/feed"
)

// A world is relays, and clients that apply what they get as real ones do, with messages under way in both directions.
// Whoever drives it decides which message arrives next.
type world struct {
	faults  faults
	now     time.Time
	relays  []*scriptRelay
	clients []*modelClient
	// versions checks rule 6: one version, one set and content, on every relay.
	versions map[string]string
	contents map[string]string
	broken   string
}

func newWorld(f faults, relays int) *world {
	w := &world{
		faults: f, now: time.Unix(1_000_000, 0), versions: make(map[string]string), contents: make(map[string]string),
	}
	s := newScript(f)
	for i := range relays {
		w.relays = append(w.relays, s.relay(fmt.Sprint(i)))
	}
	return w
}

func (w *world) client(wildcard bool, relay int) *modelClient {
	c := &modelClient{world: w, wildcard: wildcard, types: make(map[string]*modelType)}
	for _, url := range []string{ListenerType, RouteType, ClusterType, EndpointType} {
		c.types[url] = &modelType{
			url: url, names: make(map[string]bool), cache: make(map[string]string), versions: make(map[*scriptRelay]string),
		}
	}
	w.clients = append(w.clients, c)
	c.connect(w.relays[relay])
	return c
}

// check holds a response against the rules that hold at every instant.
func (w *world) check(c *modelClient, r *response) {
	sub := c.core.types[r.kind.url]
	if len(sub.flight) > maxFlight {
		w.fail("%d responses of %s in flight", len(sub.flight), r.kind.label)
	}
	if len(sub.kept) > 0 {
		return
	}
	c.relay.table.mu.RLock()
	defer c.relay.table.mu.RUnlock()
	var list []*resource
	if sub.kind.whole {
		list = c.core.content(sub, c.relay.table.shelf(r.kind.url))
	} else {
		for _, name := range sub.set.names {
			list = append(list, c.relay.table.get(r.kind.url, name))
		}
	}
	var since uint64
	for _, res := range list {
		since = max(since, scriptSince(r.kind.url, res.body()))
	}
	if !strings.HasPrefix(r.version, fmt.Sprint(since, ".")) && !w.faults.versionWithoutSet {
		w.fail("version %s of a set with since %d", r.version, since)
	}
	content := show(&response{kind: r.kind, resources: list})
	version := r.kind.label + " " + r.version
	if had, ok := w.versions[version]; ok && had != content {
		w.fail("version %s is %q and %q", version, had, content)
	}
	if had, ok := w.contents[content]; ok && had != r.version {
		w.fail("%q has versions %s and %s", content, had, r.version)
	}
	w.versions[version], w.contents[content] = content, r.version
}

func (w *world) fail(format string, args ...any) {
	if w.broken == "" {
		w.broken = fmt.Sprintf(format, args...)
	}
}

// settle delivers everything until nothing is under way.
func (w *world) settle() {
	for range 200 {
		busy := false
		for _, c := range w.clients {
			c.serve()
			busy = busy || len(c.toServer) > 0 || len(c.toClient) > 0
			c.deliver()
		}
		if !busy {
			return
		}
	}
	w.fail("messages without end")
}

func expected(l *feed.Log, url, name string) string {
	if r, ok := l.Get(url, name); ok {
		return string(r.Value)
	}
	cfg := scriptConfig()
	if body, ok := cfg.OnDemand(url, name); ok {
		return string(body)
	}
	if body, ok := cfg.Absent(url, name); ok {
		return string(body)
	}
	return missingContent
}

func (w *world) commit(relay int, changes ...feed.Change) {
	r := w.relays[relay]
	if _, err := r.log.Commit(changes...); err != nil {
		w.fail("commit: %v", err)
	}
	for b, ok := r.cursor.Next(); ok; b, ok = r.cursor.Next() {
		r.table.apply(b, w.now)
	}
}
