package serve

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
)

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
