// Package probe is a data plane that only watches: an xDS client that says when which endpoints arrived.
//
// It asks one relay, over one ADS stream (SotW, as gRPC does), for the endpoints of some services, acknowledges all it
// gets, and opens the stream again when it breaks. Its node has the locality of a client of that center, so it is told
// what such a client is told.
package probe

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"

	"pentad.dev/pentad/dev/sample/record"
)

const (
	typeEndpoints = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	retryAfter    = 100 * time.Millisecond
	maxMessage    = 4 << 20 // gRPC clients' limit
)

// Config says what to watch.
type Config struct {
	// Relay is its address, Node this data plane's name.
	Relay, Node    string
	Region, Center string
	TLS            *tls.Config
	// Names are the endpoint resources.
	Names []string
	// Connected is told when a stream has opened (true) or broken (false).
	Connected func(bool)
	// Update is told of every resource that arrived: the addresses that take new requests.
	Update func(Update)
	Log    *slog.Logger
}

// Update is what arrived.
type Update struct {
	At   record.Time
	Name string
	// Addresses, sorted: host:port of healthy endpoints.
	Addresses []string
}

// Probe watches one relay.
type Probe struct{ cfg Config }

// New takes a configuration; nothing happens before Run.
func New(cfg Config) *Probe { return &Probe{cfg: cfg} }

// Run watches until ctx ends.
func (p *Probe) Run(ctx context.Context) error {
	conn, err := grpc.NewClient(
		"passthrough:///"+p.cfg.Relay,
		grpc.WithTransportCredentials(credentials.NewTLS(p.cfg.TLS)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: retryAfter, Multiplier: 1, MaxDelay: retryAfter},
			MinConnectTimeout: time.Second,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
	)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	for ctx.Err() == nil {
		err := p.stream(ctx, conn)
		p.cfg.Connected(false)
		if ctx.Err() != nil {
			break
		}
		p.cfg.Log.Debug("probe's stream ended", "relay", p.cfg.Relay, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
		}
	}
	return nil
}

func (p *Probe) stream(ctx context.Context, conn *grpc.ClientConn) error {
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
	if err != nil {
		return err
	}
	err = stream.Send(&discoveryv3.DiscoveryRequest{
		Node: &corev3.Node{
			Id: p.cfg.Node, UserAgentName: "pentad probe",
			Locality:       &corev3.Locality{Region: p.cfg.Region, Zone: p.cfg.Center},
			ClientFeatures: []string{"envoy.lb.does_not_support_overprovisioning"},
		},
		TypeUrl: typeEndpoints, ResourceNames: p.cfg.Names,
	})
	if err != nil {
		return err
	}
	for first := true; ; first = false {
		response, err := stream.Recv()
		if err != nil {
			return err
		}
		at := record.Now()
		if first {
			p.cfg.Connected(true)
		}
		for _, resource := range response.GetResources() {
			assignment := &endpointv3.ClusterLoadAssignment{}
			if err := resource.UnmarshalTo(assignment); err != nil {
				return fmt.Errorf("resource of type %s: %w", resource.GetTypeUrl(), err)
			}
			p.cfg.Update(Update{At: at, Name: assignment.GetClusterName(), Addresses: addresses(assignment)})
		}
		err = stream.Send(&discoveryv3.DiscoveryRequest{
			TypeUrl: typeEndpoints, ResourceNames: p.cfg.Names, VersionInfo: response.GetVersionInfo(),
			ResponseNonce: response.GetNonce(),
		})
		if err != nil {
			return err
		}
	}
}

// addresses are those that gRPC would send requests to (gRFC A27): health UNKNOWN or HEALTHY.
func addresses(assignment *endpointv3.ClusterLoadAssignment) []string {
	var all []string
	for _, locality := range assignment.GetEndpoints() {
		for _, e := range locality.GetLbEndpoints() {
			if s := e.GetHealthStatus(); s != corev3.HealthStatus_UNKNOWN && s != corev3.HealthStatus_HEALTHY {
				continue
			}
			address := e.GetEndpoint().GetAddress().GetSocketAddress()
			all = append(all, net.JoinHostPort(address.GetAddress(), strconv.Itoa(int(address.GetPortValue()))))
		}
	}
	slices.Sort(all)
	return all
}
