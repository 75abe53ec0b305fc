package render

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/catalog"
	"pentad.dev/pentad/federation/model/modelpb"
)

// defaultFailover is the order where no policy gives one: own center, own region, the rest.
func defaultFailover() []v1alpha1.FailoverTier {
	return []v1alpha1.FailoverTier{
		{Scope: v1alpha1.ScopeCenter}, {Scope: v1alpha1.ScopeRegion}, {Scope: v1alpha1.ScopeAny},
	}
}

// holds says whether a tier holds what is in that center, seen from the view.
func (v View) holds(tier v1alpha1.FailoverTier, center, region string) bool {
	switch tier.Scope {
	case v1alpha1.ScopeCenter:
		return center == v.Center
	case v1alpha1.ScopeRegion:
		return region == v.Region
	case v1alpha1.ScopeAny:
		return true
	}
	return slices.Contains(tier.Regions, region) || slices.Contains(tier.Centers, center)
}

// group is a tier's clusters of one kind, live or silent: what is preferred alike.
type group struct {
	silent   bool
	tier     int
	clusters []*member
}

// member is a cluster with the endpoints that serve one port, each address once.
type member struct {
	name, center, region string
	endpoints            []catalog.Endpoint
	// all is how many endpoints are not draining, ready how much of that is ready, unhealthy the rest. An endpoint counts
	// by its weight over the mean weight in its cluster, so that weights compare between clusters, where they mean
	// nothing, as one endpoint to one.
	all, ready, unhealthy float64
	weights               float64
}

// groups sorts the service's endpoints by preference: live before silent, then by tier. An address that several
// clusters name counts once, where it is preferred. What is in no tier is left out; empty groups don't exist.
func groups(s *catalog.Service, port string, v View) []*group {
	failover := defaultFailover()
	if s.Policy != nil && len(s.Policy.Failover) > 0 && !v.broken.has(breakFailover) {
		failover = s.Policy.Failover
	}
	type placed struct {
		tier   int
		silent bool
		*catalog.ClusterEndpoints
	}
	var clusters []placed
	for i := range s.Clusters {
		c := &s.Clusters[i]
		tier := slices.IndexFunc(failover, func(t v1alpha1.FailoverTier) bool { return v.holds(t, c.Center, c.Region) })
		if tier >= 0 && !(c.Silent && v.broken.has(breakSilentWithdrawn)) {
			clusters = append(clusters, placed{tier, c.Silent && !v.broken.has(breakSilentAlike), c})
		}
	}
	slices.SortFunc(clusters, func(a, b placed) int {
		return cmp.Or(compareBool(a.silent, b.silent), cmp.Compare(a.tier, b.tier), cmp.Compare(a.Cluster, b.Cluster))
	})
	var out []*group
	taken := map[netip.AddrPort]bool{}
	for _, c := range clusters {
		if v.broken.has(breakDuplicates) {
			clear(taken)
		}
		m := newMember(c.ClusterEndpoints, port, taken, v.broken)
		if len(m.endpoints) == 0 {
			continue
		}
		if last := len(out) - 1; last < 0 || out[last].silent != c.silent || out[last].tier != c.tier {
			out = append(out, &group{silent: c.silent, tier: c.tier})
		}
		g := out[len(out)-1]
		g.clusters = append(g.clusters, m)
	}
	return out
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func newMember(c *catalog.ClusterEndpoints, port string, taken map[netip.AddrPort]bool, broken breakage) *member {
	m := &member{name: c.Cluster, center: c.Center, region: c.Region}
	for e := range c.Endpoints(port) {
		if e.State == modelpb.EndpointState_ENDPOINT_STATE_DRAINING && broken.has(breakDraining) {
			e.State = modelpb.EndpointState_ENDPOINT_STATE_READY
		}
		if !taken[netip.AddrPortFrom(e.Address, e.Port)] {
			m.endpoints = append(m.endpoints, e)
		}
	}
	slices.SortFunc(m.endpoints, func(a, b catalog.Endpoint) int {
		return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Weight, b.Weight))
	})
	// Two sources of a cluster that name the same address: the one that asks for less traffic is believed.
	unique := m.endpoints[:0]
	for _, e := range m.endpoints {
		if last := len(unique) - 1; last >= 0 && unique[last].Address == e.Address && unique[last].Port == e.Port {
			unique[last].State = warier(unique[last].State, e.State)
			continue
		}
		unique = append(unique, e)
	}
	m.endpoints = unique
	for _, e := range m.endpoints {
		taken[netip.AddrPortFrom(e.Address, e.Port)] = true
		if e.State != modelpb.EndpointState_ENDPOINT_STATE_DRAINING {
			m.all++
			m.weights += float64(e.Weight)
		}
	}
	for _, e := range m.endpoints {
		switch e.State {
		case modelpb.EndpointState_ENDPOINT_STATE_READY:
			m.ready += m.capacity(e)
		case modelpb.EndpointState_ENDPOINT_STATE_UNHEALTHY:
			m.unhealthy += m.capacity(e)
		}
	}
	return m
}

// capacity is an endpoint's weight over the mean weight of its cluster's endpoints.
func (m *member) capacity(e catalog.Endpoint) float64 { return float64(e.Weight) * m.all / m.weights }

func warier(a, b modelpb.EndpointState) modelpb.EndpointState {
	for _, s := range []modelpb.EndpointState{
		modelpb.EndpointState_ENDPOINT_STATE_DRAINING, modelpb.EndpointState_ENDPOINT_STATE_UNHEALTHY,
	} {
		if a == s || b == s {
			return s
		}
	}
	return a
}

func (g *group) sum(of func(*member) float64) float64 {
	var sum float64
	for _, m := range g.clusters {
		sum += of(m)
	}
	return sum
}

// subZone names the part of a cluster that holds the endpoints of one weight: gRPC knows no weights within a locality.
// It depends on the endpoint's own weight alone, so that nothing else moves an endpoint to another locality, which
// would make gRPC connect anew.
func subZone(cluster string, weight uint32) string {
	if weight == 1 {
		return cluster
	}
	return cluster + "/w" + strconv.FormatUint(uint64(weight), 10)
}
