package render

import (
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
)

// Names of the HTTP filters, by which a route's typed_per_filter_config finds them.
const (
	filterFault  = "envoy.filters.http.fault"
	filterRouter = "envoy.filters.http.router"
)

// listener is a client's Listener for a name, with the route found by name.
func listener(name, routeName string) (Resource, error) {
	return apiListener(name, &hcmv3.HttpConnectionManager{
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{
			Rds: &hcmv3.Rds{ConfigSource: ads(), RouteConfigName: routeName},
		},
	}, Name{TypeRoute, routeName})
}

// inlineListener is a client's Listener that carries its route, and so needs nothing else to arrive.
func inlineListener(name string, config *routev3.RouteConfiguration) (Resource, error) {
	return apiListener(name, &hcmv3.HttpConnectionManager{
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: config},
	})
}

func apiListener(name string, hcm *hcmv3.HttpConnectionManager, needs ...Name) (Resource, error) {
	filters, err := clientFilters()
	if err != nil {
		return Resource{}, err
	}
	hcm.StatPrefix, hcm.HttpFilters = name, filters
	packed, err := pack(hcm)
	if err != nil {
		return Resource{}, err
	}
	return encode(TypeListener, name, &listenerv3.Listener{
		Name:        name,
		ApiListener: &listenerv3.ApiListener{ApiListener: packed},
	}, needs...)
}

// clientFilters has the fault filter from the first Listener on, without a fault: a freeze is then a change of a route
// alone. A Listener's change takes longer, and closes connections in some data planes.
func clientFilters() ([]*hcmv3.HttpFilter, error) {
	fault, err := filter(filterFault, &faultv3.HTTPFault{})
	if err != nil {
		return nil, err
	}
	router, err := filter(filterRouter, &routerv3.Router{})
	if err != nil {
		return nil, err
	}
	return []*hcmv3.HttpFilter{fault, router}, nil
}

func filter(name string, config proto.Message) (*hcmv3.HttpFilter, error) {
	packed, err := pack(config)
	if err != nil {
		return nil, err
	}
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed}}, nil
}
