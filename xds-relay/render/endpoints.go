package render

import (
	"cmp"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"pentad.dev/pentad/federation/catalog"
	"pentad.dev/pentad/federation/model/modelpb"
)

// wholeLoad is the sum of the weights of a priority's localities, but for rounding: gRPC drops a locality without
// weight, so each has at least 1.
const wholeLoad = 1_000_000

// endpoints renders the endpoints that serve a port. A service without any gets an empty assignment, never silence.
func endpoints(s *catalog.Service, port string, v View) (Resource, error) {
	return assignment(s.Name+":"+port, groups(s, port, v), v)
}

func assignment(name string, groups []*group, v View) (Resource, error) {
	arranged, state := priorities(groups, v.broken)
	assignment := &endpointv3.ClusterLoadAssignment{ClusterName: name}
	for priority, portions := range arranged {
		for _, p := range portions {
			if v.broken.has(breakGaps) {
				priority = p.tier
			}
			assignment.Endpoints = append(assignment.Endpoints, p.localities(uint32(priority), state)...)
		}
	}
	if v.broken.has(breakWeights) {
		for _, l := range assignment.GetEndpoints() {
			l.LoadBalancingWeight = nil
		}
	}
	return encode(TypeEndpoint, name, assignment)
}

// localities are a portion's endpoints of that state, one locality for each cluster and weight of endpoint.
func (p portion) localities(priority uint32, state modelpb.EndpointState) []*endpointv3.LocalityLbEndpoints {
	whole := p.sum(func(m *member) float64 { return m.usable(state) })
	var out []*endpointv3.LocalityLbEndpoints
	for _, m := range p.clusters {
		byWeight := map[uint32]*endpointv3.LocalityLbEndpoints{}
		capacity := map[uint32]float64{}
		for _, e := range m.endpoints {
			if e.State != state {
				continue
			}
			l := byWeight[e.Weight]
			if l == nil {
				l = &endpointv3.LocalityLbEndpoints{
					Locality: &corev3.Locality{Region: m.region, Zone: m.center, SubZone: subZone(m.name, e.Weight)},
					Priority: priority,
				}
				byWeight[e.Weight] = l
				out = append(out, l)
			}
			l.LbEndpoints = append(l.LbEndpoints, lbEndpoint(e))
			capacity[e.Weight] += m.capacity(e)
		}
		for weight, l := range byWeight {
			// The conversions keep the compiler from fusing the operations, which would round otherwise elsewhere.
			part := float64(p.load*wholeLoad) * float64(capacity[weight]/whole)
			l.LoadBalancingWeight = wrapperspb.UInt32(max(1, uint32(part+0.5)))
		}
	}
	slices.SortStableFunc(out, func(a, b *endpointv3.LocalityLbEndpoints) int {
		return cmp.Compare(a.GetLocality().GetSubZone(), b.GetLocality().GetSubZone())
	})
	return out
}

func (m *member) usable(state modelpb.EndpointState) float64 {
	if state == modelpb.EndpointState_ENDPOINT_STATE_READY {
		return m.ready
	}
	return m.unhealthy
}

func lbEndpoint(e catalog.Endpoint) *endpointv3.LbEndpoint {
	out := &endpointv3.LbEndpoint{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
		Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address:       e.Address.String(),
			PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(e.Port)},
		}}},
	}}}
	if e.Weight != 1 {
		out.LoadBalancingWeight = wrapperspb.UInt32(e.Weight)
	}
	return out
}
