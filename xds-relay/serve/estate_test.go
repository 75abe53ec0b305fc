package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/xds"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"pentad.dev/pentad/federation/feed"
)

// What follows is an estate of real grpc-go clients and servers, with resources made by hand.

const serverPrefix = "server/"

func anyOf(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil {
		panic(err)
	}
	return a
}

func encoded(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(anyOf(m))
	if err != nil {
		panic(err)
	}
	return b
}

func ads() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ResourceApiVersion:    corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
	}
}

func connectionManager(routes *routev3.RouteConfiguration, rds string) *hcmv3.HttpConnectionManager {
	m := &hcmv3.HttpConnectionManager{
		HttpFilters: []*hcmv3.HttpFilter{{
			Name: "router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: anyOf(&routerv3.Router{})},
		}},
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: routes},
	}
	if routes == nil {
		m.RouteSpecifier = &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{ConfigSource: ads(), RouteConfigName: rds}}
	}
	return m
}

func listenerOf(service string) feed.Change {
	return feed.Change{Kind: ListenerType, Key: service, Value: encoded(&listenerv3.Listener{
		Name: service, ApiListener: &listenerv3.ApiListener{ApiListener: anyOf(connectionManager(nil, service))},
	})}
}

// routeOf sends everything to the first cluster; the others are named by routes that never match.
func routeOf(service string, clusters ...string) feed.Change {
	host := &routev3.VirtualHost{Domains: []string{"*"}}
	for i := len(clusters) - 1; i >= 0; i-- {
		prefix := "/none" + clusters[i]
		if i == 0 {
			prefix = ""
		}
		host.Routes = append(host.Routes, &routev3.Route{
			Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: prefix}},
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{
				ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: clusters[i]},
			}},
		})
	}
	return feed.Change{Kind: RouteType, Key: service, Value: encoded(&routev3.RouteConfiguration{
		Name: service, VirtualHosts: []*routev3.VirtualHost{host},
	})}
}

func clusterOf(name string) feed.Change {
	return feed.Change{Kind: ClusterType, Key: name, Value: encoded(&clusterv3.Cluster{
		Name: name, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ads(), ServiceName: name},
	})}
}

func endpointsOf(name string, addresses ...string) feed.Change {
	a := &endpointv3.ClusterLoadAssignment{ClusterName: name}
	if len(addresses) > 0 {
		l := &endpointv3.LocalityLbEndpoints{
			Locality:            &corev3.Locality{Region: "r", Zone: "z"},
			LoadBalancingWeight: wrapperspb.UInt32(1),
		}
		for _, address := range addresses {
			l.LbEndpoints = append(l.LbEndpoints, &endpointv3.LbEndpoint{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: socket(address)}},
			})
		}
		a.Endpoints = []*endpointv3.LocalityLbEndpoints{l}
	}
	return feed.Change{Kind: EndpointType, Key: name, Value: encoded(a)}
}

func socket(address string) *corev3.Address {
	host, port, _ := net.SplitHostPort(address)
	var number uint32
	_, _ = fmt.Sscan(port, &number)
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: host, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: number},
	}}}
}

func service(name string, addresses ...string) []feed.Change {
	return []feed.Change{listenerOf(name), routeOf(name, name), clusterOf(name), endpointsOf(name, addresses...)}
}

// serverListener is a gRPC server's Listener, made from the name that it asks for (A36).
func serverListener(typeURL, name string) ([]byte, bool) {
	address, ok := strings.CutPrefix(name, serverPrefix)
	if !ok || typeURL != ListenerType {
		return nil, false
	}
	routes := &routev3.RouteConfiguration{Name: "inbound", VirtualHosts: []*routev3.VirtualHost{{
		Domains: []string{"*"},
		Routes: []*routev3.Route{{
			Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: ""}},
			Action: &routev3.Route_NonForwardingAction{NonForwardingAction: &routev3.NonForwardingAction{}},
		}},
	}}}
	return encoded(&listenerv3.Listener{
		Name: name, Address: socket(address),
		FilterChains: []*listenerv3.FilterChain{{Name: "all", Filters: []*listenerv3.Filter{{
			Name: "http", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: anyOf(connectionManager(routes, ""))},
		}}}},
	}), true
}

// standIn refuses: a listener whose routes match nothing, an empty assignment.
func standIn(typeURL, name string) ([]byte, bool) {
	none := &routev3.RouteConfiguration{Name: name, VirtualHosts: []*routev3.VirtualHost{{Domains: []string{"*"}}}}
	switch typeURL {
	case ListenerType:
		return encoded(&listenerv3.Listener{
			Name: name, ApiListener: &listenerv3.ApiListener{ApiListener: anyOf(connectionManager(none, ""))},
		}), true
	case RouteType:
		return encoded(none), true
	case EndpointType:
		return endpointsOf(name).Value, true
	}
	return nil, false
}

// estate keeps a removed cluster until its client has left it, however busy the machine is.
func estate(c *Config) { c.OnDemand, c.Absent, c.Linger = serverListener, standIn, patience }

// bootstrap names the relays, the preferred one first.
func bootstrap(t testing.TB, node string, relays ...string) []byte {
	t.Helper()
	var servers []any
	for _, r := range relays {
		servers = append(servers, map[string]any{
			"server_uri": r, "channel_creds": []any{map[string]any{"type": "insecure"}}, "server_features": []string{"xds_v3"},
		})
	}
	b, err := json.Marshal(map[string]any{
		"xds_servers": servers, "node": map[string]any{"id": node},
		"server_listener_resource_name_template": serverPrefix + "%s",
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// backend is a real xDS-enabled gRPC server that says its name. It serves nothing before it has its Listener.
func backend(t testing.TB, name string, relays ...string) string {
	t.Helper()
	answer := func(_ any, s grpc.ServerStream) error {
		if err := s.RecvMsg(&emptypb.Empty{}); err != nil {
			return err
		}
		return s.SendMsg(wrapperspb.String(name))
	}
	s, err := xds.NewGRPCServer(xds.BootstrapContentsForTesting(bootstrap(t, "backend "+name, relays...)))
	if err != nil {
		t.Fatal(err)
	}
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "test.Who", HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{StreamName: "Ask", Handler: answer, ServerStreams: true, ClientStreams: true}},
	}, struct{}{})
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { _ = s.Serve(lis) })
	t.Cleanup(func() { s.Stop(); running.Wait() })
	return lis.Addr().String()
}

// client is a proxyless client of a service.
func client(t testing.TB, target string, relays ...string) *grpc.ClientConn {
	t.Helper()
	resolver, err := xds.NewXDSResolverWithConfigForTesting(bootstrap(t, "client of "+target, relays...))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("xds:///"+target, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithResolvers(resolver))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// who asks which backend answers.
func who(conn *grpc.ClientConn, wait time.Duration, opts ...grpc.CallOption) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/test.Who/Ask", opts...)
	if err != nil {
		return "", err
	}
	if err := s.SendMsg(&emptypb.Empty{}); err != nil {
		return "", err
	}
	out := &wrapperspb.StringValue{}
	if err := s.RecvMsg(out); err != nil {
		return "", err
	}
	return out.GetValue(), nil
}

// becomes waits until every answer is one of want, and returns how long that took. The call itself never fails for want
// of an answer: whatever goes wrong on the way is the test's business.
func becomes(t testing.TB, conn *grpc.ClientConn, want string) time.Duration {
	t.Helper()
	start := time.Now()
	var got string
	var err error
	for same := 0; same < 5; {
		if got, err = who(conn, patience, grpc.WaitForReady(true)); err == nil && got == want {
			same++
			continue
		}
		same = 0
		if time.Since(start) > patience {
			t.Fatalf("after %v: %q, %v; want %q", patience, got, err, want)
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(start)
}
