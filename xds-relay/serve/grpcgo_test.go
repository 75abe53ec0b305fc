package serve

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/federation/feed"
)

// TestGRPCClientsAndServers: first connection, an endpoint added, one removed, routes that move to another cluster.
func TestGRPCClientsAndServers(t *testing.T) {
	r := startRelay(t, newLog(t), "", estate)
	one, two := backend(t, "one", r.address), backend(t, "two", r.address)
	r.commit(service("svc", one)...)
	conn := client(t, "svc", r.address)
	first := becomes(t, conn, "one")
	r.commit(endpointsOf("svc", one, two))
	waitFor(t, func() bool { got, _ := who(conn, patience); return got == "two" })
	r.commit(endpointsOf("svc", two))
	removed := becomes(t, conn, "two")
	// Nothing goes to the one that was removed.
	for range 50 {
		if got, err := who(conn, patience); err != nil || got != "two" {
			t.Fatalf("after the removal: %q, %v", got, err)
		}
	}
	// A new cluster, and the routes to it, in one commit. The old one goes.
	r.commit(append(service("other", one), routeOf("svc", "other"), feed.Change{Kind: ClusterType, Key: "svc"},
		feed.Change{Kind: EndpointType, Key: "svc"})...)
	moved := becomes(t, conn, "one")
	t.Logf("first answer after %v, removal in force after %v, new cluster after %v", first, removed, moved)
	for _, s := range r.server.Streams() {
		for _, ty := range s.Types {
			if ty.Nacks > 0 {
				t.Errorf("%s refused %s: %s", s.Node, shortType(ty.Type), ty.Nack.Message)
			}
		}
	}
}

func waitFor(t testing.TB, what func() bool) {
	t.Helper()
	if !within(patience, what) {
		t.Fatalf("not within %v", patience)
	}
}

// TestGRPCNamesThatDoNotExist: rule 8. grpc-go waits 15 s for a name that it is not told about.
func TestGRPCNamesThatDoNotExist(t *testing.T) {
	if err := missingNames(t, faults{}); err != nil {
		t.Fatal(err)
	}
}

func missingNames(t testing.TB, f faults) error {
	told := &absences{names: make(map[string]bool)}
	r := startRelayWith(t, newLog(t), "", func(c *Config) { estate(c); c.faults = f },
		append(ServerOptions(), grpc.StreamInterceptor(told.intercept)))
	one := backend(t, "one", r.address)
	// Nothing of it exists; the listener does, but not its routes; everything but the assignment.
	r.commit(append(service("later", one), listenerOf("no-routes"), listenerOf("no-endpoints"),
		routeOf("no-endpoints", "no-endpoints"), clusterOf("no-endpoints"))...)
	r.commit(feed.Change{Kind: ListenerType, Key: "later"})
	for _, target := range []string{"nothing", "no-routes", "no-endpoints", "later"} {
		conn := client(t, target, r.address)
		limit, start := f.patience(3*time.Second), time.Now()
		if _, err := who(conn, limit); status.Code(err) != codes.Unavailable {
			return fmt.Errorf("%s: after %v: %w, want UNAVAILABLE at once", target, time.Since(start), err)
		}
		if !within(limit, func() bool { return told.of(target) }) {
			return fmt.Errorf("%s: UNAVAILABLE after %v, and the relay told the client nothing", target, time.Since(start))
		}
		if target == "later" {
			r.commit(listenerOf("later"))
			becomes(t, conn, "one")
			r.commit(feed.Change{Kind: ListenerType, Key: "later"})
			waitFor(t, func() bool {
				_, err := who(conn, patience)
				return status.Code(err) == codes.Unavailable
			})
		}
	}
	return nil
}

// absences are the names that clients were told do not exist.
type absences struct {
	mu    sync.Mutex
	names map[string]bool
}

func (a *absences) intercept(server any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	return next(server, &toldStream{s, a})
}

func (a *absences) of(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.names[name]
}

type toldStream struct {
	grpc.ServerStream
	told *absences
}

func (s *toldStream) SendMsg(m any) error {
	s.told.mu.Lock()
	for _, res := range m.(*response).resources {
		if res.missing {
			s.told.names[res.name] = true
		}
	}
	s.told.mu.Unlock()
	return s.ServerStream.SendMsg(m)
}

// TestGRPCRefusalAndRepair: what a client refuses stops nothing: it goes on with what it had, takes what else changes,
// and takes the repaired resource at once.
func TestGRPCRefusalAndRepair(t *testing.T) {
	r := startRelay(t, newLog(t), "", estate)
	one, two := backend(t, "one", r.address), backend(t, "two", r.address)
	r.commit(append(service("svc", one), service("other", one)...)...)
	conn, other := client(t, "svc", r.address), client(t, "other", r.address)
	becomes(t, conn, "one")
	becomes(t, other, "one")
	// A locality without a name is what grpc-go refuses.
	broken := &endpointv3.ClusterLoadAssignment{
		ClusterName: "svc", Endpoints: []*endpointv3.LocalityLbEndpoints{{Priority: 3}},
	}
	r.commit(feed.Change{Kind: EndpointType, Key: "svc", Value: encoded(broken)})
	refusal := func() *Nack {
		for _, s := range r.server.Streams() {
			if s.Node != "client of svc" {
				continue
			}
			for _, ty := range s.Types {
				if ty.Nack != nil {
					return ty.Nack
				}
			}
		}
		return nil
	}
	waitFor(t, func() bool { return refusal() != nil })
	n := refusal()
	if n.Type != EndpointType || n.Version == "" || n.Message == "" {
		t.Fatalf("%+v", n)
	}
	if !strings.Contains(r.output.String(), "client of svc") {
		t.Error("the log does not name the client")
	}
	// A response is counted once it is on its way, and before its answer is read.
	var first string
	waitFor(t, func() bool { first = acked(r, "client of other", EndpointType); return first != "" })
	sent := gather(t, r.metrics)["pentad_xds_responses_total EDS"]
	becomes(t, conn, "one")
	r.commit(endpointsOf("other", two))
	becomes(t, other, "two")
	waitFor(t, func() bool { return acked(r, "client of other", EndpointType) != first })
	if now := gather(t, r.metrics)["pentad_xds_responses_total EDS"]; now != sent+1 {
		t.Errorf("%v responses for one change: what was refused was sent again", now-sent)
	}
	r.commit(endpointsOf("svc", two))
	becomes(t, conn, "two")
}

// TestGRPCRelayRestart: a relay that goes and comes back with the same disturbs nobody, and what changed meanwhile
// arrives.
func TestGRPCRelayRestart(t *testing.T) {
	log := newLog(t)
	r := startRelay(t, log, "", estate)
	one, two := backend(t, "one", r.address), backend(t, "two", r.address)
	r.commit(service("svc", one)...)
	conn := client(t, "svc", r.address)
	becomes(t, conn, "one")
	for i, want := range []string{"one", "two"} {
		r.stop()
		for range 20 {
			if got, err := who(conn, patience); err != nil || got != "one" {
				t.Fatalf("without a relay: %q, %v", got, err)
			}
		}
		// The writer is new: another incarnation, and nothing of what was said before is known.
		log = feed.NewLog("resources", feed.Filter{}, feed.Options{})
		if _, err := log.Begin(uint64(i+2)<<30, service("svc", map[string]string{"one": one, "two": two}[want])); err != nil {
			t.Fatal(err)
		}
		r = startRelay(t, log, r.address, estate)
		becomes(t, conn, want)
	}
}

// TestGRPCHomeFromAnotherRelay is rule 6's counterexample: a client moves from A to B, whose content differs, and
// home to A, which has what the client once acknowledged there.
func TestGRPCHomeFromAnotherRelay(t *testing.T) {
	if err := awayAndHome(t, faults{}); err != nil {
		t.Fatal(err)
	}
}

func awayAndHome(t testing.TB, f faults) error {
	// As the client keeps no version between its first stream and a relay that is new to it, A has to be the same relay,
	// by address, with the same content.
	content := func(address string) *feed.Log { return newLog(t, service("svc", address)...) }
	aside := startRelay(t, newLog(t), "", estate) // serves the backends only
	one, two := backend(t, "one", aside.address), backend(t, "two", aside.address)
	faulty := func(c *Config) { estate(c); c.faults = f }
	a, b := startRelay(t, content(one), "", faulty), startRelay(t, content(two), "", faulty)
	conn := client(t, "svc", a.address, b.address)
	becomes(t, conn, "one")
	// grpc-go leaves A only while something is missing (A71): routes now name a cluster that A does not answer for, since
	// it has no stand-in for clusters.
	waitFor(t, func() bool { return acked(a, svcClient, ClusterType) != "" })
	before := acked(a, svcClient, ClusterType)
	a.commit(routeOf("svc", "svc", "unknown"))
	waitFor(t, func() bool { return acked(a, svcClient, ClusterType) != before })
	a.stop()
	away := becomes(t, conn, "two")
	a = startRelay(t, content(one), a.address, faulty)
	start := time.Now()
	for got := ""; got != "one"; got, _ = who(conn, patience) {
		if time.Since(start) > f.patience(6*time.Second) {
			return fmt.Errorf("home at A for %v, and calls still go to where B said", time.Since(start))
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Logf("away after %v, home after %v", away, time.Since(start))
	return nil
}
