package serve

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"

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

// modelClient is the client's side. Its cache is what it would act upon.
type modelClient struct {
	world *world
	// wildcard: as Envoy, it takes LDS and CDS whole, asks for the endpoints of its clusters and acknowledges clusters
	// once it has them; else it names what it wants, as grpc-go does.
	wildcard bool
	// oneURI: its relays are one server to it, so it shows the version that it has, wherever it got it (rule 7); else it
	// keeps one for each relay.
	oneURI   bool
	relay    *scriptRelay
	core     *sotw
	types    map[string]*modelType
	toServer []*discovery.DiscoveryRequest
	toClient []*response
	last     map[string]*response // by type, the newest response that was sent on this stream
}

type modelType struct {
	url      string
	names    map[string]bool
	cache    map[string]string
	version  string
	versions map[*scriptRelay]string // grpc-go's is one for each relay
	nonce    string
	withheld *response
	asked    bool // on this stream
}

const missingContent = "!"

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

// connect opens a new stream, as grpc-go and Envoy do after a break: versions are kept, nonces are not, and
// everything is asked for again.
func (c *modelClient) connect(r *scriptRelay) {
	if c.core != nil {
		c.core.close()
	}
	cfg := scriptConfig()
	cfg.faults = c.world.faults
	for _, t := range c.types {
		if !c.wildcard && !c.oneURI {
			t.versions[c.relay] = t.version
			t.version = t.versions[r]
		}
	}
	c.relay, c.core = r, newSotw(cfg.withDefaults(), r.table)
	c.toServer, c.toClient, c.last = nil, nil, make(map[string]*response)
	for _, url := range []string{ClusterType, EndpointType, ListenerType, RouteType} {
		t := c.types[url]
		t.nonce, t.withheld, t.asked = "", nil, false
		if c.wildcard && kindOf(url).wildcard || len(t.names) > 0 {
			c.ask(t)
		}
	}
}

func (c *modelClient) ask(t *modelType) {
	t.asked = true
	c.toServer = append(c.toServer, &discovery.DiscoveryRequest{
		TypeUrl: t.url, VersionInfo: t.version, ResponseNonce: t.nonce, ResourceNames: slices.Collect(maps.Keys(t.names)),
	})
}

// subscribe changes the names of a type; what is not asked for any more is forgotten.
func (c *modelClient) subscribe(url string, names ...string) {
	t := c.types[url]
	before := maps.Clone(t.names)
	clear(t.names)
	for _, name := range names {
		t.names[name] = true
	}
	for name := range t.cache {
		if !t.names[name] {
			delete(t.cache, name)
		}
	}
	if !maps.Equal(before, t.names) {
		c.ask(t)
	}
}

// serve lets the server take one request, if there is one, and send what it has to.
func (c *modelClient) serve() {
	if len(c.toServer) > 0 {
		if _, err := c.core.request(c.toServer[0], c.world.now); err != nil {
			c.world.fail("request refused: %v", err)
		}
		c.toServer = c.toServer[1:]
	}
	responses, _, err := c.core.respond(c.world.now)
	if err != nil {
		c.world.fail("stream ended: %v", err)
	}
	for _, r := range responses {
		c.world.check(c, r)
		c.toClient = append(c.toClient, r)
		c.last[r.kind.url] = r
	}
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

// deliver lets the client take one response, apply it and answer. Content that begins with "bad" is refused: what it
// had before stays, the rest is applied (A46).
func (c *modelClient) deliver() {
	if len(c.toClient) == 0 {
		return
	}
	r := c.toClient[0]
	c.toClient = c.toClient[1:]
	t := c.types[r.kind.url]
	t.nonce = r.nonce
	var refused []string
	named := make(map[string]bool)
	for _, res := range r.resources {
		named[res.name] = true
		content := string(res.body())
		switch {
		case !t.names[res.name] && !(c.wildcard && r.kind.wildcard):
		case strings.HasPrefix(content, "bad"):
			refused = append(refused, res.name)
		case res.body() == nil:
			t.cache[res.name] = missingContent
		default:
			t.cache[res.name] = content
		}
	}
	if r.kind.whole {
		maps.DeleteFunc(t.cache, func(name, _ string) bool { return !named[name] })
	}
	if len(refused) > 0 {
		c.answer(t, r, strings.Join(refused, " "))
		return
	}
	if c.wildcard && r.kind.url == ClusterType {
		c.types[EndpointType].watch(c, t.cache)
		t.version, t.withheld = r.version, r // Envoy's version is that of what it applied; only the request waits
	} else {
		c.answer(t, r, "")
	}
	c.warm()
}

// watch asks for the endpoints of the clusters, and forgets the others.
func (t *modelType) watch(c *modelClient, clusters map[string]string) {
	before := maps.Clone(t.names)
	clear(t.names)
	for name := range clusters {
		t.names[name] = true
	}
	maps.DeleteFunc(t.cache, func(name, _ string) bool { return !t.names[name] })
	if !maps.Equal(before, t.names) {
		c.ask(t)
	}
}

// warm acknowledges clusters once their endpoints are there.
func (c *modelClient) warm() {
	t := c.types[ClusterType]
	if t.withheld == nil {
		return
	}
	for name := range t.cache {
		if _, ok := c.types[EndpointType].cache[name]; !ok {
			return
		}
	}
	c.answer(t, t.withheld, "")
	t.withheld = nil
}

func (c *modelClient) answer(t *modelType, r *response, refused string) {
	if refused == "" {
		t.version = r.version
	}
	c.ask(t)
	req := c.toServer[len(c.toServer)-1]
	req.ResponseNonce = r.nonce
	if refused != "" {
		req.ErrorDetail = &rpcstatus.Status{Code: int32(codes.InvalidArgument), Message: refused}
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

// equal says how a client differs from the feed in what it asks for.
func (c *modelClient) equal() error {
	for url, t := range c.types {
		want := make(map[string]string)
		if c.wildcard && kindOf(url).wildcard {
			for r := range c.relay.log.All() {
				if r.Kind == url {
					want[r.Key] = string(r.Value)
				}
			}
		}
		for name := range t.names {
			want[name] = expected(c.relay.log, url, name)
		}
		if !maps.Equal(want, t.cache) {
			return fmt.Errorf("%s: has %v, the feed says %v", shortType(url), t.cache, want)
		}
	}
	return nil
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
