package probe_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/anypb"

	"pentad.dev/pentad/dev/drill/probe"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/identity/ca"
)

// relay is the least that a probe can talk to: it sends what it is told to, and tells what it is asked.
type relay struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	asked chan *discoveryv3.DiscoveryRequest
	send  chan *discoveryv3.DiscoveryResponse // nil: break the stream
}

func (r *relay) StreamAggregatedResources(
	s discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer,
) error {
	go func() {
		for {
			request, err := s.Recv()
			if err != nil {
				return
			}
			r.asked <- request
		}
	}()
	for {
		select {
		case <-s.Context().Done():
			return nil
		case response := <-r.send:
			if response == nil {
				return fmt.Errorf("broken on purpose")
			}
			if err := s.Send(response); err != nil {
				return err
			}
		}
	}
}

func identities(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	dir := t.TempDir()
	authority, err := ca.Open(filepath.Join(dir, "ca"), "pentad.test", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	load := func(role identity.Role, name string) *identity.Source {
		files := identity.Files{
			Cert: filepath.Join(dir, string(role), "c"),
			Key:  filepath.Join(dir, string(role), "k"),
			CA:   filepath.Join(dir, string(role), "a"),
		}
		err := authority.Issue(
			ca.Request{ID: identity.ID{TrustDomain: "pentad.test", Role: role, Name: name}, Validity: time.Hour},
			files,
		)
		if err != nil {
			t.Fatal(err)
		}
		source, err := identity.Load(files)
		if err != nil {
			t.Fatal(err)
		}
		return source
	}
	return load(
			identity.RoleRelay,
			"c/r",
		).Server(identity.RoleWorkload),
		load(
			identity.RoleWorkload,
			"w",
		).Client(identity.RoleRelay)
}

// response has one endpoint for each health status, at ports 1, 2, ...
func response(t *testing.T, name, version string, health ...corev3.HealthStatus) *discoveryv3.DiscoveryResponse {
	t.Helper()
	assignment := &endpointv3.ClusterLoadAssignment{ClusterName: name}
	for i, h := range health {
		address := &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(i + 1)},
		}}}
		assignment.Endpoints = append(
			assignment.Endpoints,
			&endpointv3.LocalityLbEndpoints{LbEndpoints: []*endpointv3.LbEndpoint{{
				HealthStatus: h, HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address}},
			}}},
		)
	}
	resource, err := anypb.New(assignment)
	if err != nil {
		t.Fatal(err)
	}
	return &discoveryv3.DiscoveryResponse{
		VersionInfo: version,
		Nonce:       "n" + version,
		TypeUrl:     resource.TypeUrl,
		Resources:   []*anypb.Any{resource},
	}
}

func next[T any](t *testing.T, c <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-c:
	case <-time.After(time.Minute):
		t.Fatal("nothing came")
	}
	return value
}

func TestAProbeToldOfEndpointsAcknowledgesAndComesBack(t *testing.T) {
	serverTLS, clientTLS := identities(t)
	r := &relay{asked: make(chan *discoveryv3.DiscoveryRequest, 10), send: make(chan *discoveryv3.DiscoveryResponse)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(serverTLS)))
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(server, r)
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()

	updates, connected := make(chan probe.Update, 10), make(chan bool, 10)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	p := probe.New(probe.Config{
		Relay: listener.Addr().
			String(),
		Node: "probe", Region: "hangzhou", Center: "hz-a", TLS: clientTLS, Names: []string{"s:grpc"},
		Connected: func(on bool) { connected <- on }, Update: func(u probe.Update) { updates <- u },
		Log: slog.New(slog.DiscardHandler),
	})
	go func() { ended <- p.Run(ctx) }()

	first := next(t, r.asked)
	if first.GetNode().GetLocality().GetZone() != "hz-a" || !slices.Equal(first.GetResourceNames(), []string{"s:grpc"}) {
		t.Errorf("asked %v", first)
	}
	r.send <- response(t, "s:grpc", "1", corev3.HealthStatus_HEALTHY, corev3.HealthStatus_DRAINING,
		corev3.HealthStatus_UNKNOWN, corev3.HealthStatus_UNHEALTHY)
	for !next(t, connected) { // a slow machine's first streams may come to nothing
	}
	if u := next(t, updates); u.Name != "s:grpc" || !slices.Equal(u.Addresses, []string{"127.0.0.1:1", "127.0.0.1:3"}) {
		t.Errorf("update %+v", u)
	}
	if ack := next(t, r.asked); ack.GetResponseNonce() != "n1" || ack.GetVersionInfo() != "1" ||
		ack.GetErrorDetail() != nil {
		t.Errorf("acknowledged %v", ack)
	}
	r.send <- nil
	if next(t, connected) {
		t.Error("still connected")
	}
	if again := next(t, r.asked); again.GetResponseNonce() != "" {
		t.Errorf("a new stream begins with %v", again)
	}
	cancel()
	if err := next(t, ended); err != nil {
		t.Error(err)
	}
}
