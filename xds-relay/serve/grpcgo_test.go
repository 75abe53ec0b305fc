package serve

import (
	"fmt"
	"strings"
	"testing"
	"time"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
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
	first := becomes(t, conn, 30*time.Second, "one")
	r.commit(endpointsOf("svc", one, two))
	waitFor(t, 30*time.Second, func() bool { got, _ := who(conn, time.Second); return got == "two" })
	r.commit(endpointsOf("svc", two))
	removed := becomes(t, conn, time.Second, "two")
	// Nothing goes to the one that was removed.
	for range 50 {
		if got, err := who(conn, time.Second); err != nil || got != "two" {
			t.Fatalf("after the removal: %q, %v", got, err)
		}
	}
	// A new cluster, and the routes to it, in one commit. The old one goes.
	r.commit(append(service("other", one), routeOf("svc", "other"), feed.Change{Kind: ClusterType, Key: "svc"},
		feed.Change{Kind: EndpointType, Key: "svc"})...)
	moved := becomes(t, conn, 2*time.Second, "one")
	t.Logf("first answer after %v, removal in force after %v, new cluster after %v", first, removed, moved)
	for _, s := range r.server.Streams() {
		for _, ty := range s.Types {
			if ty.Nacks > 0 {
				t.Errorf("%s refused %s: %s", s.Node, shortType(ty.Type), ty.Nack.Message)
			}
		}
	}
}

func waitFor(t testing.TB, limit time.Duration, what func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !what(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v", limit)
		}
	}
}

// TestGRPCNamesThatDoNotExist: rule 8. grpc-go waits 15 s for a name that it is not told about.
func TestGRPCNamesThatDoNotExist(t *testing.T) {
	if err := missingNames(t, faults{}); err != nil {
		t.Fatal(err)
	}
}

func missingNames(t testing.TB, f faults) error {
	r := startRelay(t, newLog(t), "", func(c *Config) { estate(c); c.faults = f })
	one := backend(t, "one", r.address)
	// Nothing of it exists; the listener does, but not its routes; everything but the assignment.
	r.commit(append(service("later", one), listenerOf("no-routes"), listenerOf("no-endpoints"),
		routeOf("no-endpoints", "no-endpoints"), clusterOf("no-endpoints"))...)
	r.commit(feed.Change{Kind: ListenerType, Key: "later"})
	for _, target := range []string{"nothing", "no-routes", "no-endpoints", "later"} {
		conn := client(t, target, r.address)
		start := time.Now()
		if _, err := who(conn, 3*time.Second); status.Code(err) != codes.Unavailable {
			return fmt.Errorf("%s: after %v: %w, want UNAVAILABLE at once", target, time.Since(start), err)
		}
		if target == "later" {
			r.commit(listenerOf("later"))
			becomes(t, conn, 2*time.Second, "one")
			r.commit(feed.Change{Kind: ListenerType, Key: "later"})
			waitFor(t, 2*time.Second, func() bool {
				_, err := who(conn, time.Second)
				return status.Code(err) == codes.Unavailable
			})
		}
	}
	return nil
}

// TestGRPCRefusalAndRepair: what a client refuses stops nothing: it goes on with what it had, takes what else changes,
// and takes the repaired resource at once.
func TestGRPCRefusalAndRepair(t *testing.T) {
	r := startRelay(t, newLog(t), "", estate)
	one, two := backend(t, "one", r.address), backend(t, "two", r.address)
	r.commit(append(service("svc", one), service("other", one)...)...)
	conn, other := client(t, "svc", r.address), client(t, "other", r.address)
	becomes(t, conn, 30*time.Second, "one")
	becomes(t, other, 30*time.Second, "one")
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
	waitFor(t, 2*time.Second, func() bool { return refusal() != nil })
	n := refusal()
	if n.Type != EndpointType || n.Version == "" || n.Message == "" {
		t.Fatalf("%+v", n)
	}
	if !strings.Contains(r.output.String(), "client of svc") {
		t.Error("the log does not name the client")
	}
	sent := gather(t, r.metrics)["pentad_xds_responses_total EDS"]
	becomes(t, conn, time.Second, "one")
	r.commit(endpointsOf("other", two))
	becomes(t, other, time.Second, "two")
	if now := gather(t, r.metrics)["pentad_xds_responses_total EDS"]; now != sent+1 {
		t.Errorf("%v responses for one change: what was refused was sent again", now-sent)
	}
	r.commit(endpointsOf("svc", two))
	becomes(t, conn, time.Second, "two")
}

// TestGRPCRelayRestart: a relay that goes and comes back with the same disturbs nobody, and what changed meanwhile
// arrives.
func TestGRPCRelayRestart(t *testing.T) {
	log := newLog(t)
	r := startRelay(t, log, "", estate)
	one, two := backend(t, "one", r.address), backend(t, "two", r.address)
	r.commit(service("svc", one)...)
	conn := client(t, "svc", r.address)
	becomes(t, conn, 30*time.Second, "one")
	for i, want := range []string{"one", "two"} {
		r.stop()
		for range 20 {
			if got, err := who(conn, time.Second); err != nil || got != "one" {
				t.Fatalf("without a relay: %q, %v", got, err)
			}
		}
		// The writer is new: another incarnation, and nothing of what was said before is known.
		log = feed.NewLog("resources", feed.Filter{}, feed.Options{})
		if _, err := log.Begin(uint64(i+2)<<30, service("svc", map[string]string{"one": one, "two": two}[want])); err != nil {
			t.Fatal(err)
		}
		r = startRelay(t, log, r.address, estate)
		becomes(t, conn, 10*time.Second, want)
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
	becomes(t, conn, 30*time.Second, "one")
	// grpc-go leaves A only while something is missing (A71): routes now name a cluster that A does not answer for, since
	// it has no stand-in for clusters.
	a.commit(routeOf("svc", "svc", "unknown"))
	waitFor(t, 2*time.Second, func() bool {
		for _, s := range a.server.Streams() {
			for _, ty := range s.Types {
				if ty.Type == ClusterType && ty.Names == 2 && ty.Unanswered == 0 {
					return true
				}
			}
		}
		return false
	})
	a.stop()
	away := becomes(t, conn, 10*time.Second, "two")
	a = startRelay(t, content(one), a.address, faulty)
	start := time.Now()
	for got := ""; got != "one"; got, _ = who(conn, time.Second) {
		if time.Since(start) > 6*time.Second {
			return fmt.Errorf("home at A for %v, and calls still go to where B said", time.Since(start))
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Logf("away after %v, home after %v", away, time.Since(start))
	return nil
}
