package render

import (
	"fmt"
	"net/netip"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
)

// ServerListenerPrefix begins the names of servers' Listeners; the listening address follows (gRFC A36).
const ServerListenerPrefix = "grpc/server?xds.resource.listening_address="

// ServerListener renders the Listener that a gRPC server asks for by its listening address. It is a function of the
// name alone: the server refuses to serve unless the address in it is its own, as written (gRFC A36). The route says
// non_forwarding_action, without which the server answers UNAVAILABLE. Connections are plaintext, or whatever fallback
// the server's own credentials have.
func ServerListener(name string) (Resource, error) {
	host, port, err := listeningAddress(name)
	if err != nil {
		return Resource{}, err
	}
	router, err := filter(filterRouter, &routerv3.Router{})
	if err != nil {
		return Resource{}, err
	}
	hcm, err := pack(&hcmv3.HttpConnectionManager{
		StatPrefix:  name,
		HttpFilters: []*hcmv3.HttpFilter{router},
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{
			RouteConfig: routeConfiguration(name, &routev3.Route{
				Match:  anyPath(),
				Action: &routev3.Route_NonForwardingAction{NonForwardingAction: &routev3.NonForwardingAction{}},
			}),
		},
	})
	if err != nil {
		return Resource{}, err
	}
	return encode(TypeListener, name, &listenerv3.Listener{
		Name: name,
		Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address:       host,
			PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)},
		}}},
		FilterChains: []*listenerv3.FilterChain{{
			Name: "plaintext",
			Filters: []*listenerv3.Filter{{
				Name:       "envoy.filters.network.http_connection_manager",
				ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: hcm},
			}},
		}},
	})
}

// OnDemand is the content of a name that exists by being asked for: a server's Listener. False: it is no such name, or
// the address in it is none.
func OnDemand(typeURL, name string) (Resource, bool) {
	if typeURL != TypeListener || !IsServerListener(name) {
		return Resource{}, false
	}
	r, err := ServerListener(name)
	return r, err == nil
}

// IsServerListener says whether a Listener's name is that of a server.
func IsServerListener(name string) bool { return strings.HasPrefix(name, ServerListenerPrefix) }

// listeningAddress returns the host as written, since that is what the server compares.
func listeningAddress(name string) (host string, port uint16, err error) {
	address, ok := strings.CutPrefix(name, ServerListenerPrefix)
	if !ok {
		return "", 0, fmt.Errorf("listener name: invalid value %q: must begin with %q", name, ServerListenerPrefix)
	}
	parsed, err := netip.ParseAddrPort(address)
	if err != nil || parsed.Port() == 0 {
		return "", 0, fmt.Errorf("listener name: invalid listening address %q: must be an IP address and a port, "+
			`as in "10.0.0.1:9000" or "[::]:9000"`, address)
	}
	host = address[:strings.LastIndexByte(address, ':')]
	return strings.Trim(host, "[]"), parsed.Port(), nil
}
