package serve

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"pentad.dev/pentad/federation/feed"
)

func TestSinceOfVersions(t *testing.T) {
	for version, want := range map[string]uint64{
		"7.0123456789abcdef":                    7,
		"18446744073709551615.fedcba9876543210": 1<<64 - 1,
		"18446744073709551616.fedcba9876543210": 0,
		"0.0123456789abcdef":                    0,
		"":                                      0,
		"7":                                     0,
		".0123456789abcdef":                     0,
		"7.":                                    0,
		"7.0123456789abcde":                     0,
		"7.0123456789abcdef0":                   0,
		"7.0123456789abcdeg":                    0,
		"7.0123456789ABCDEF":                    0,
		"07.0123456789abcdef":                   0,
		"+7.0123456789abcdef":                   0,
		"-7.0123456789abcdef":                   0,
		"7_0.0123456789abcdef":                  0,
		"7.1.0123456789abcdef":                  0,
		" 7.0123456789abcdef":                   0,
		"v7.0123456789abcdef":                   0,
	} {
		if got := sinceOf(version); got != want {
			t.Errorf("%q: %d, want %d", version, got, want)
		}
	}
}

// TestAWaitHasOneDeadline: a stream that waits is woken by what changes and by the end of its wait, and by nothing in
// between.
func TestAWaitHasOneDeadline(t *testing.T) {
	s := newScript(faults{})
	if _, err := s.step("commit RDS/r=1@5"); err != nil {
		t.Fatal(err)
	}
	core := s.open("g", "").core
	req := &discovery.DiscoveryRequest{
		TypeUrl: RouteType, ResourceNames: []string{"r"}, VersionInfo: "6.0123456789abcdef",
	}
	if _, err := core.request(req, s.now); err != nil {
		t.Fatal(err)
	}
	end := s.now.Add(maxCatchUp)
	for _, after := range []time.Duration{0, time.Second, maxCatchUp - 1} {
		out, again, err := core.respond(s.now.Add(after))
		if len(out) != 0 || err != nil || !again.Equal(end) {
			t.Fatalf("after %v: %d responses, %v, again at %v; the wait ends at %v", after, len(out), err, again, end)
		}
	}
	out, again, err := core.respond(end)
	if len(out) != 1 || err != nil || !again.IsZero() {
		t.Fatalf("at its end: %d responses, %v, again at %v", len(out), err, again)
	}
	miss := Miss{Type: RouteType, Shown: 6, Had: 5, At: end}
	if len(core.missed) != 1 || *core.missed[0] != miss {
		t.Fatalf("%+v, want %+v", core.missed, miss)
	}
}

// TestWithoutSinceNothingWaits: a server that can't know what epochs its resources are of can't be behind.
func TestWithoutSinceNothingWaits(t *testing.T) {
	r := startRelayWith(t, newLog(t, text(t, RouteType, "r", "1")), "", nil, ServerOptions(), waiting)
	s := openStream(t, r.dial())
	s.ask("n", RouteType, "7.0123456789abcdef", "", "r")
	if v := s.receive().GetVersionInfo(); !strings.HasPrefix(v, "0.") {
		t.Fatal(v)
	}
}

// epochs makes a relay's config read the since from "... @7" at the end of a body.
func epochs(c *Config) { c.Since = scriptSince }

// waits says what since the first stream's routes wait for, and how a wait ended in vain.
func waits(s *Server, node string) (awaits uint64, missed *Miss) {
	for _, st := range s.Streams() {
		for _, ty := range st.Types {
			if st.Node == node && ty.Type == RouteType {
				return ty.Awaits, ty.Missed
			}
		}
	}
	return 0, nil
}

// TestTheCommitEndsTheWait: the answer goes out with the commit that catches up, to the stream that waits for it.
func TestTheCommitEndsTheWait(t *testing.T) {
	log := newLog(t, text(t, RouteType, "r", "old@5"), text(t, EndpointType, "e", "1"))
	r := startRelayWith(t, log, "", epochs, ServerOptions(), waiting) // so nothing but the commit can end the wait
	s := openStream(t, r.dial())
	s.ask("n", RouteType, "7.0123456789abcdef", "", "r")
	waitFor(t, func() bool { awaits, _ := waits(r.server, "n"); return awaits == 7 })
	s.ask("", EndpointType, "", "", "e")
	if got := s.receive(); got.GetTypeUrl() != EndpointType {
		t.Fatalf("%s %q came first", shortType(got.GetTypeUrl()), body(t, got))
	}
	r.commit(text(t, RouteType, "r", "new@7"))
	if b := body(t, s.receive()); !slices.Equal(b, []string{"new@7"}) {
		t.Fatalf("%q", b)
	}
	if awaits, missed := waits(r.server, "n"); awaits != 0 || missed != nil {
		t.Fatalf("still awaits %d, missed %+v", awaits, missed)
	}
	if n := gather(t, r.metrics)["pentad_xds_missed_total RDS"]; n != 0 {
		t.Fatalf("%v misses", n)
	}
}

// TestAMissIsShown: in the stream's status, the metrics and the log.
func TestAMissIsShown(t *testing.T) {
	if err := answeredInAnyCase(t, faults{}); err != nil {
		t.Fatal(err)
	}
}

func answeredInAnyCase(t testing.TB, f faults) error {
	const wait = 100 * time.Millisecond
	r := startRelay(t, newLog(t, text(t, RouteType, "r", "old@5")), "", func(c *Config) {
		epochs(c)
		c.faults, c.CatchUp = f, wait
	})
	s := openStream(t, r.dial())
	start := time.Now()
	answers := make(chan *discovery.DiscoveryResponse, 1)
	s.ask("n", RouteType, "7.0123456789abcdef", "", "r")
	go func() {
		resp, _ := s.Recv() // nil when the test ends first
		answers <- resp
	}()
	select {
	case resp := <-answers:
		if b := body(t, resp); !slices.Equal(b, []string{"old@5"}) || time.Since(start) < wait {
			return fmt.Errorf("%q after %v, want it after %v", b, time.Since(start), wait)
		}
	case <-time.After(f.patience(5 * time.Second)):
		return fmt.Errorf("no answer after %v", time.Since(start))
	}
	_, missed := waits(r.server, "n")
	if missed == nil || missed.Shown != 7 || missed.Had != 5 || missed.Type != RouteType || missed.At.IsZero() {
		return fmt.Errorf("the status says %+v", missed)
	}
	if n := gather(t, r.metrics)["pentad_xds_missed_total RDS"]; n != 1 {
		return fmt.Errorf("the metrics say %v", n)
	}
	for _, want := range []string{"newer resources", "node=n", "shown=7", "had=5"} {
		if !strings.Contains(r.output.String(), want) {
			return fmt.Errorf("the log does not say %q: %s", want, r.output)
		}
	}
	return nil
}

// TestSinceIsAskedOncePerResource: it decodes, so it must not cost by stream.
func TestSinceIsAskedOncePerResource(t *testing.T) {
	var mu sync.Mutex
	asked := make(map[string]int)
	r := startRelay(t, newLog(t, text(t, RouteType, "r", "1@5"), text(t, RouteType, "s", "1@6")), "", func(c *Config) {
		c.Since = func(url string, body []byte) uint64 {
			mu.Lock()
			defer mu.Unlock()
			asked[shortType(url)+string(body)]++
			return scriptSince(url, body)
		}
	})
	conn := r.dial()
	for range 3 {
		s := openStream(t, conn)
		s.ask("n", RouteType, "", "", "r", "s")
		first := s.receive()
		s.ask("", RouteType, first.GetVersionInfo(), first.GetNonce(), "r", "s")
	}
	r.commit(text(t, RouteType, "r", "2@7"))
	s := openStream(t, conn)
	s.ask("n", RouteType, "", "", "r")
	s.receive()
	if _, err := r.log.Begin(2, []feed.Change{
		text(t, RouteType, "r", "2@7"), text(t, RouteType, "s", "1@6"),
	}); err != nil {
		t.Fatal(err)
	}
	r.server.pump()
	mu.Lock()
	defer mu.Unlock()
	for what, n := range asked {
		if n != 1 {
			t.Errorf("%q asked %d times", what, n)
		}
	}
	if len(asked) != 3 {
		t.Errorf("asked of %d, want 3", len(asked))
	}
}
