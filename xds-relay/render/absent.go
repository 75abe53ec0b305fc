package render

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
)

// Absent is what a name gets that doesn't exist, or exists no longer: content that refuses, because silence leaves a
// gRPC client waiting for 15 s, and a deletion leaves traffic running.
//
//   - Listener, RouteConfiguration: every call is refused with 503, in gRPC UNAVAILABLE: it was not applied, for
//     certain;
//   - Cluster: a cluster whose endpoints are found under its name;
//   - ClusterLoadAssignment: no endpoints.
//
// False: the type is not one that this package renders, the name is empty, or it is that of a server's Listener, which
// only ServerListener may answer.
func Absent(typeURL, name string, v View) (Resource, bool) {
	if name == "" || v.Validate() != nil || typeURL == TypeListener && IsServerListener(name) {
		return Resource{}, false
	}
	var r Resource
	var err error
	switch typeURL {
	case TypeListener:
		r, err = inlineListener(name, refuseAll(name))
	case TypeRoute:
		r, err = encode(TypeRoute, name, refuseAll(name))
	case TypeCluster:
		r, err = edsCluster(name, connectTimeout)
	case TypeEndpoint:
		r, err = encode(TypeEndpoint, name, &endpointv3.ClusterLoadAssignment{ClusterName: name})
	default:
		return Resource{}, false
	}
	return r, err == nil
}

func refuseAll(name string) *routev3.RouteConfiguration {
	return routeConfiguration(name, &routev3.Route{
		Match: anyPath(),
		// gRPC has no direct responses and makes this one UNAVAILABLE.
		Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{
			Status: 503,
			Body: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{
				InlineString: "pentad: no cluster exports " + name,
			}},
		}},
	})
}
