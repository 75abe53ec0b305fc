package serve

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/federation/feed"
)

// refusedBeforeReady checks rule 14: before the first commit mark, and before Ready says so, a stream ends in
// UNAVAILABLE without any response.
func refusedBeforeReady(t testing.TB, f faults) error {
	log := feed.NewLog("resources", feed.Filter{}, feed.Options{})
	ready := make(chan struct{})
	r := startRelay(t, log, "", func(c *Config) {
		c.faults = f
		c.Ready = func() bool {
			select {
			case <-ready:
				return true
			default:
				return false
			}
		}
	})
	conn := r.dial()
	refused := func() error {
		s := openStream(t, conn)
		s.ask("n", EndpointType, "", "", "a")
		resp, err := s.Recv()
		if status.Code(err) != codes.Unavailable {
			return fmt.Errorf("answered with %v, %v", resp, err)
		}
		return nil
	}
	if err := refused(); err != nil {
		return fmt.Errorf("before the first commit: %w", err)
	}
	if _, err := log.Begin(1, []feed.Change{text(t, EndpointType, "a", "1")}); err != nil {
		return err
	}
	if err := refused(); err != nil {
		return fmt.Errorf("before ready: %w", err)
	}
	close(ready)
	s := openStream(t, conn)
	s.ask("n", EndpointType, "", "", "a")
	if got := body(t, s.receive()); !slices.Equal(got, []string{"1"}) {
		return fmt.Errorf("when ready: %q", got)
	}
	return nil
}

func TestStreamsAreRefusedUntilReady(t *testing.T) {
	if err := refusedBeforeReady(t, faults{}); err != nil {
		t.Fatal(err)
	}
}

func TestStatusAndMetricsShowWhatClientsSay(t *testing.T) {
	r := startRelay(t, newLog(t, text(t, RouteType, "r", "1"), text(t, EndpointType, "e", "1")), "", nil)
	s := openStream(t, r.dial())
	s.ask("node-1", RouteType, "", "", "r")
	first := s.receive()
	s.ask("", RouteType, first.GetVersionInfo(), first.GetNonce(), "r")
	r.commit(text(t, RouteType, "r", "2"))
	second := s.receive()
	if err := s.Send(&discovery.DiscoveryRequest{
		TypeUrl: RouteType, VersionInfo: first.GetVersionInfo(), ResponseNonce: second.GetNonce(),
		ResourceNames: []string{"r"}, ErrorDetail: &rpcstatus.Status{Code: 3, Message: "no such cluster"},
	}); err != nil {
		t.Fatal(err)
	}
	s.ask("", EndpointType, "", "", "e")
	s.receive()
	streams := r.server.Streams()
	if len(streams) != 1 || streams[0].Node != "node-1" || streams[0].Identity != "" {
		t.Fatalf("%+v", streams)
	}
	var route, endpoint TypeStatus
	for _, ts := range streams[0].Types {
		switch ts.Type {
		case RouteType:
			route = ts
		case EndpointType:
			endpoint = ts
		}
	}
	if route.Acked != first.GetVersionInfo() || route.Nacks != 1 || route.Nack == nil || route.Unanswered != 0 ||
		route.Nack.Message != "no such cluster" || route.Nack.Version != second.GetVersionInfo() {
		t.Fatalf("route: %+v", route)
	}
	if endpoint.Acked != "" || endpoint.Unanswered != 1 || endpoint.Names != 1 {
		t.Fatalf("endpoint: %+v", endpoint)
	}
	for _, want := range []string{"resources refused", "node-1", "no such cluster", second.GetVersionInfo(), RouteType} {
		if !strings.Contains(r.output.String(), want) {
			t.Errorf("the log does not say %q: %s", want, r.output)
		}
	}
	// A response is counted once it is on its way, so it may be here before.
	waitFor(t, func() bool { return gather(t, r.metrics)["pentad_xds_responses_total EDS"] > 0 })
	numbers := gather(t, r.metrics)
	for name, want := range map[string]float64{
		"pentad_xds_streams": 1, "pentad_xds_responses_total RDS": 2, "pentad_xds_responses_total EDS": 1,
		"pentad_xds_nacks_total RDS": 1, "pentad_xds_push_delay_seconds RDS": 1,
	} {
		if numbers[name] != want {
			t.Errorf("%s is %v, want %v", name, numbers[name], want)
		}
	}
}

func TestNodeIsPinnedByTheFirstRequest(t *testing.T) {
	r := startRelay(t, newLog(t, text(t, EndpointType, "e", "1")), "", nil)
	conn := r.dial()
	s := openStream(t, conn)
	s.ask("node-1", EndpointType, "", "", "e")
	s.receive()
	// The same node again, as Envoy sends it, and none, as grpc-go does.
	s.ask("node-1", RouteType, "", "", "r")
	s.receive()
	s.ask("node-2", ListenerType, "", "", "l")
	if m := s.ended(codes.InvalidArgument); !strings.Contains(m, "node-2") || !strings.Contains(m, "node-1") {
		t.Fatalf("%q names neither", m)
	}
}

func TestBadRequestsEndTheStream(t *testing.T) {
	r := startRelay(t, newLog(t), "", func(c *Config) { c.MaxNames = 2 })
	conn := r.dial()
	s := openStream(t, conn)
	s.ask("n", "", "", "")
	s.ended(codes.InvalidArgument)
	s = openStream(t, conn)
	s.ask("n", EndpointType, "", "", "a", "b", "c")
	if m := s.ended(codes.InvalidArgument); !strings.Contains(m, "3 names") {
		t.Fatalf("%q does not say how many", m)
	}
	s = openStream(t, conn)
	for i := range maxTypes + 1 {
		s.ask("n", fmt.Sprint("type", i), "", "", "a")
	}
	s.ended(codes.InvalidArgument)
	if n := len(r.server.Streams()); n != 0 {
		t.Fatalf("%d streams left", n)
	}
}

// TestConfigErrorsNameTheField holds Validate to its word.
func TestConfigErrorsNameTheField(t *testing.T) {
	good := Config{Resources: newLog(t)}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for field, c := range map[string]Config{
		"Resources":   {},
		"MaxBytes":    {Resources: good.Resources, MaxBytes: 4 << 20},
		"SplitBytes":  {Resources: good.Resources, SplitBytes: -1},
		"MaxNames":    {Resources: good.Resources, MaxNames: -1},
		"CloseBehind": {Resources: good.Resources, CloseBehind: time.Second},
		"CatchUp":     {Resources: good.Resources, CatchUp: 3 * time.Second},
		"Drain":       {Resources: good.Resources, Drain: -1},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", field)
		}
	}
}
