package render

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/catalog"
	"pentad.dev/pentad/federation/model/modelpb"
)

// connectTimeout bounds a new connection where no policy does. gRPC ignores it.
const connectTimeout = 2 * time.Second

// Service renders a service for a view. Names, for service "orders" with the ports grpc (9000, the first) and admin:
//
//	Listener                   orders and orders:9000, orders:<number of admin>
//	RouteConfiguration         orders:grpc, orders:admin
//	Cluster, and its endpoints orders:grpc, orders:admin
//
// and with units, for each candidate cell
//
//	Cluster, and its endpoints orders:grpc/rz01.hz-a, orders:admin/rz01.hz-a
//
// while orders:grpc has no endpoints: it is where calls are routed that are refused.
//
// Resources come before those that name them: endpoints, clusters, routes, listeners. Every name that a route has is
// among the result.
func Service(s *catalog.Service, v View) ([]Resource, error) {
	r, err := render(rendering{}, s, v)
	if err != nil {
		return nil, err
	}
	return r.all(), nil
}

// assignments renders the endpoints of each port.
func assignments(s *catalog.Service, v View) ([]Resource, error) {
	b := builder{}
	for _, p := range s.Ports {
		if v.broken.has(breakSilence) && len(groups(s, p.GetName(), v)) == 0 {
			continue
		}
		b.add(endpoints(s, p.GetName(), v))
	}
	return b.done(s)
}

// clusters renders the clusters of each port: a function of ports, policy, and candidate cells.
func clusters(s *catalog.Service, v View) ([]Resource, error) {
	b := builder{}
	for _, p := range s.Ports {
		b.add(edsCluster(portName(s.Name, p), connectTimeoutOf(s)))
		if v.hasUnits(s) {
			cellClusters(s, p, v, &b)
		}
	}
	return b.done(s)
}

// routes renders the routes of each port. For a plain service they are a function of ports and policy; with units, also
// of the ownership map, and of what can be reached of which cell, seen from the view. They say why a service refuses
// everything; empty: it does not.
func routes(s *catalog.Service, cells []cellRendering, v View) (_ []Resource, refused string, _ error) {
	b := builder{}
	for i, p := range s.Ports {
		if !v.hasUnits(s) {
			b.add(plainRoute(s, p))
			continue
		}
		r, why, err := unitRoute(s, i, cells, v)
		b.add(r, err)
		refused = cmp.Or(refused, why)
	}
	resources, err := b.done(s)
	return resources, refused, err
}

// listeners renders the names by which callers know the service: a function of its ports.
func listeners(s *catalog.Service) ([]Resource, error) {
	b := builder{}
	for i, p := range s.Ports {
		if i == 0 {
			b.add(listener(s.Name, portName(s.Name, p)))
		}
		b.add(listener(s.Name+":"+strconv.FormatUint(uint64(p.GetNumber()), 10), portName(s.Name, p)))
	}
	return b.done(s)
}

func portsAlike(a, b *catalog.Service) bool {
	return slices.EqualFunc(a.Ports, b.Ports, func(p, q *modelpb.Port) bool {
		return p == q || proto.Equal(p, q)
	})
}

// portName is the name of a port's route, cluster and endpoints. A service's name has no colon, so it is unique.
func portName(service string, p *modelpb.Port) string { return service + ":" + p.GetName() }

// builder gathers resources up to the first error.
type builder struct {
	resources []Resource
	err       error
}

func (b *builder) done(s *catalog.Service) ([]Resource, error) {
	if b.err != nil {
		return nil, fmt.Errorf("render service %q: %w", s.Name, b.err)
	}
	return b.resources, nil
}

func (b *builder) add(r Resource, err error) {
	if err != nil {
		b.err = err
	}
	if b.err == nil {
		b.resources = append(b.resources, r)
	}
}

func plainRoute(s *catalog.Service, p *modelpb.Port) (Resource, error) {
	name := portName(s.Name, p)
	action := &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: name}}
	setTimeout(action, s.Policy)
	config := routeConfiguration(name, &routev3.Route{
		Match:  anyPath(),
		Action: &routev3.Route_Route{Route: action},
	})
	return encode(TypeRoute, name, config, Name{TypeCluster, name}, Name{TypeEndpoint, name})
}

// setTimeout bounds a whole call. gRPC reads max_stream_duration, where grpc_timeout_header_max lets a caller's own
// shorter deadline win; a proxy reads timeout for calls without a deadline, and would take 15 s if it were not set.
func setTimeout(action *routev3.RouteAction, policy *v1alpha1.ServicePolicySpec) {
	action.Timeout = durationpb.New(0)
	if policy == nil || policy.Timeouts == nil || policy.Timeouts.Request == nil || policy.Timeouts.Request.Duration <= 0 {
		return
	}
	request := policy.Timeouts.Request.Duration
	action.Timeout = durationpb.New(request)
	action.MaxStreamDuration = &routev3.RouteAction_MaxStreamDuration{
		MaxStreamDuration:    durationpb.New(request),
		GrpcTimeoutHeaderMax: durationpb.New(request),
	}
}

func routeConfiguration(name string, routes ...*routev3.Route) *routev3.RouteConfiguration {
	return &routev3.RouteConfiguration{
		Name: name,
		VirtualHosts: []*routev3.VirtualHost{{
			Name: name,
			// One service a route configuration, reached under several names and by any authority.
			Domains: []string{"*"},
			Routes:  routes,
		}},
	}
}

func anyPath() *routev3.RouteMatch {
	return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: ""}}
}

func connectTimeoutOf(s *catalog.Service) time.Duration {
	if s.Policy != nil && s.Policy.Timeouts != nil && s.Policy.Timeouts.Connect != nil &&
		s.Policy.Timeouts.Connect.Duration > 0 {
		return s.Policy.Timeouts.Connect.Duration
	}
	return connectTimeout
}

func edsCluster(name string, connect time.Duration) (Resource, error) {
	c := &clusterv3.Cluster{
		Name:                 name,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ads()},
		ConnectTimeout:       durationpb.New(connect),
		// gRPC makes it localities by weight, and round robin in each. A proxy needs to be told about the localities.
		LbPolicy: clusterv3.Cluster_ROUND_ROBIN,
		CommonLbConfig: &clusterv3.Cluster_CommonLbConfig{
			LocalityConfigSpecifier: &clusterv3.Cluster_CommonLbConfig_LocalityWeightedLbConfig_{
				LocalityWeightedLbConfig: &clusterv3.Cluster_CommonLbConfig_LocalityWeightedLbConfig{},
			},
		},
		CircuitBreakers: unlimited(),
	}
	return encode(TypeCluster, name, c, Name{TypeEndpoint, name})
}

// unlimited lifts the limit of 1,024 concurrent requests that data planes, gRPC among them, have when nothing is said:
// calls beyond it would fail by a rule that nobody wrote.
func unlimited() *clusterv3.CircuitBreakers {
	const most = 1<<32 - 1
	return &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
		Priority:           corev3.RoutingPriority_DEFAULT,
		MaxConnections:     wrapperspb.UInt32(most),
		MaxPendingRequests: wrapperspb.UInt32(most),
		MaxRequests:        wrapperspb.UInt32(most),
	}}}
}

func ads() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ResourceApiVersion:    corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
	}
}
