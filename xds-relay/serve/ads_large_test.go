package serve

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/federation/feed"
)

// TestLargeSetsAreSplit: rule 14. What may be sent in part never makes a message above 1 MiB, and no more than two are
// under way; a set that must be whole and can't be received is not sent at all.
func TestLargeSetsAreSplit(t *testing.T) {
	var changes []feed.Change
	var names []string
	for i := range 60 {
		name := fmt.Sprintf("e%02d", i)
		names = append(names, name)
		changes = append(changes, text(t, EndpointType, name, strings.Repeat("x", 100<<10)), text(t, ClusterType, name,
			strings.Repeat("x", 100<<10)))
	}
	r := startRelay(t, newLog(t, changes...), "", nil)
	s := openStream(t, r.dial())
	s.ask("n", EndpointType, "", "", names...)
	total, messages := 0, 0
	for total < len(names) {
		resp := s.receive()
		if size := proto.Size(resp); size > 1<<20 {
			t.Fatalf("a response of %d bytes", size)
		}
		total, messages = total+len(resp.GetResources()), messages+1
		if u := r.server.Streams()[0].Types[0].Unanswered; u > maxFlight {
			t.Fatalf("%d under way", u)
		}
		s.ask("", EndpointType, resp.GetVersionInfo(), resp.GetNonce(), names...)
	}
	if messages != 6 {
		t.Fatalf("%d messages", messages)
	}
	var missing []string
	for i := range 20_000 {
		missing = append(missing, fmt.Sprintf("missing-%05d", i))
	}
	s.ask("", "other", "", "", missing...)
	for total = 0; total < len(missing); {
		resp := s.receive()
		if size := proto.Size(resp); size > 1<<20 {
			t.Fatalf("a response of %d bytes", size)
		}
		total += len(resp.GetResourceErrors())
		s.ask("", "other", resp.GetVersionInfo(), resp.GetNonce(), missing...)
	}
	s.ask("", ClusterType, "", "", names...)
	s.ask("", RouteType, "", "", "r")
	if resp := s.receive(); resp.GetTypeUrl() != RouteType {
		t.Fatalf("%d bytes of %s", proto.Size(resp), resp.GetTypeUrl())
	}
	if !strings.Contains(r.output.String(), "too large") || gather(t, r.metrics)["pentad_xds_oversized_total CDS"] != 1 {
		t.Fatal("nobody was told")
	}
	// A wildcard is Envoy, which has no such limit.
	w := openStream(t, r.dial2())
	w.ask("e", ClusterType, "", "")
	if resp := w.receive(); len(resp.GetResources()) != 60 {
		t.Fatalf("%d clusters", len(resp.GetResources()))
	}
}

// TestShutdownIsPaced: streams are closed one after the other over Drain, with a status on which clients go elsewhere;
// new ones are refused meanwhile, and nothing is left running.
func TestShutdownIsPaced(t *testing.T) {
	log := newLog(t, text(t, EndpointType, "e", "1"))
	r := startRelay(t, log, "", func(c *Config) { c.Drain = 400 * time.Millisecond })
	conn := r.dial()
	const n = 20
	var streams []rawStream
	for range n {
		s := openStream(t, conn)
		s.ask("n", EndpointType, "", "", "e")
		s.receive()
		streams = append(streams, s)
	}
	ends := make(chan time.Time, n)
	for _, s := range streams {
		go func() {
			if _, err := s.Recv(); status.Code(err) != codes.Unavailable {
				t.Errorf("ended by %v", err)
			}
			ends <- time.Now()
		}()
	}
	start := time.Now()
	done := make(chan struct{})
	go func() { r.end(); close(done) }()
	waitFor(t, func() bool { r.server.mu.Lock(); defer r.server.mu.Unlock(); return r.server.closing })
	late := openStream(t, conn)
	late.ask("n", EndpointType, "", "", "e")
	if m := late.ended(codes.Unavailable); !strings.Contains(m, "shutting down") {
		t.Errorf("a new stream was refused with %q", m)
	}
	var after []time.Duration
	for range n {
		after = append(after, (<-ends).Sub(start))
	}
	<-done
	slices.Sort(after)
	if after[n-1] < 300*time.Millisecond || after[n/2] < 100*time.Millisecond || after[n-1] > patience {
		t.Fatalf("streams ended after %v", after)
	}
	if len(r.server.Streams()) != 0 {
		t.Fatal("streams are left")
	}
	for url, sh := range r.server.table.shelves {
		if len(sh.sets) != 0 || len(sh.wild) != 0 {
			t.Errorf("the index of %s still has %d sets", url, len(sh.sets))
		}
	}
}

// TestSlowStreamHoldsNobodyUp: a client that does not read neither delays the others nor makes anything grow.
func TestSlowStreamHoldsNobodyUp(t *testing.T) {
	big := strings.Repeat("x", 200<<10)
	r := startRelay(t, newLog(t, text(t, EndpointType, "e", big)), "", nil)
	slow, quick := openStream(t, r.dial()), openStream(t, r.dial())
	slow.ask("slow", EndpointType, "", "", "e")
	quick.ask("quick", EndpointType, "", "", "e")
	resp := quick.receive()
	for i := range 50 {
		quick.ask("", EndpointType, resp.GetVersionInfo(), resp.GetNonce(), "e")
		want := fmt.Sprint(i) + big
		r.commit(text(t, EndpointType, "e", want))
		for resp = quick.receive(); body(t, resp)[0] != want; resp = quick.receive() {
			quick.ask("", EndpointType, resp.GetVersionInfo(), resp.GetNonce(), "e")
		}
	}
	// The slow one gets what it was sent first, then at once the newest.
	var got []string
	for len(got) == 0 || got[len(got)-1] != "49"+big {
		resp := slow.receive()
		got = append(got, body(t, resp)[0])
		slow.ask("", EndpointType, resp.GetVersionInfo(), resp.GetNonce(), "e")
	}
	if len(got) > 4 {
		t.Fatalf("%d responses to a slow client", len(got))
	}
}
