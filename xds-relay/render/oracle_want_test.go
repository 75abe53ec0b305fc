package render

import (
	"cmp"
	"math/big"
	"slices"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/catalog"
	"pentad.dev/pentad/federation/model/modelpb"
)

// wantLoads is Envoy's division of the traffic, in exact numbers: 1.4 of the ready share, but for each live rank.
func wantLoads(all []wanted) map[int]*big.Rat {
	ready, total := map[int]*big.Rat{}, map[int]*big.Rat{}
	for _, w := range all {
		if w.rank >= 10 || w.state == modelpb.EndpointState_ENDPOINT_STATE_DRAINING {
			continue
		}
		if total[w.rank] == nil {
			ready[w.rank], total[w.rank] = new(big.Rat), new(big.Rat)
		}
		total[w.rank].Add(total[w.rank], big.NewRat(1, 1))
		if w.state == modelpb.EndpointState_ENDPOINT_STATE_READY {
			ready[w.rank].Add(ready[w.rank], capacityOf(w, all))
		}
	}
	sum, one := new(big.Rat), big.NewRat(1, 1)
	health := map[int]*big.Rat{}
	for rank := range 10 {
		if total[rank] != nil {
			health[rank] = minRat(one, new(big.Rat).Mul(big.NewRat(7, 5), new(big.Rat).Quo(ready[rank], total[rank])))
			sum.Add(sum, health[rank])
		}
	}
	loads, left := map[int]*big.Rat{}, big.NewRat(1, 1)
	if sum.Sign() == 0 {
		return loads
	}
	for rank := range 10 {
		if health[rank] != nil {
			loads[rank] = minRat(left, new(big.Rat).Quo(health[rank], minRat(one, sum)))
			left = new(big.Rat).Sub(left, loads[rank])
		}
	}
	return loads
}

// capacityOf is an endpoint's weight over the mean weight of its cluster.
func capacityOf(w wanted, all []wanted) *big.Rat {
	n, sum := int64(0), int64(0)
	for _, o := range all {
		if o.clusterIndex == w.clusterIndex && o.state != modelpb.EndpointState_ENDPOINT_STATE_DRAINING {
			n++
			sum += int64(o.weight)
		}
	}
	return big.NewRat(int64(w.weight)*n, sum)
}

func minRat(a, b *big.Rat) *big.Rat {
	if a.Cmp(b) < 0 {
		return a
	}
	return b
}

// wanted is where an address should be found, worked out from the records alone, in another way than render does.
type wanted struct {
	ip           string
	rank         int // 0 to 9: live, by tier; from 10: silent
	cluster      string
	state        modelpb.EndpointState
	weight       uint32
	clusterIndex int
}

func want(s *catalog.Service, v View) []wanted {
	var all []wanted
	for i, c := range s.Clusters {
		rank := wantTier(s.Policy, c, v)
		if rank < 0 {
			continue
		}
		if c.Silent {
			rank += 10
		}
		for e := range c.Endpoints("grpc") {
			all = append(all, wanted{ip: e.Address.String(), rank: rank, cluster: c.Cluster, state: e.State,
				weight: e.Weight, clusterIndex: i})
		}
	}
	slices.SortStableFunc(all, func(a, b wanted) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.cluster, b.cluster), cmp.Compare(a.weight, b.weight))
	})
	byAddress := map[string]*wanted{}
	var out []*wanted
	for _, w := range all {
		first := byAddress[w.ip]
		switch {
		case first == nil:
			w := w
			byAddress[w.ip] = &w
			out = append(out, &w)
		case first.cluster == w.cluster && first.rank == w.rank:
			if w.state == modelpb.EndpointState_ENDPOINT_STATE_DRAINING ||
				w.state == modelpb.EndpointState_ENDPOINT_STATE_UNHEALTHY &&
					first.state == modelpb.EndpointState_ENDPOINT_STATE_READY {
				first.state = w.state
			}
		}
	}
	var flat []wanted
	for _, w := range out {
		flat = append(flat, *w)
	}
	return flat
}

func wantTier(p *v1alpha1.ServicePolicySpec, c catalog.ClusterEndpoints, v View) int {
	if p == nil {
		switch {
		case c.Center == v.Center:
			return 0
		case c.Region == v.Region:
			return 1
		}
		return 2
	}
	for i, tier := range p.Failover {
		if tier.Scope == v1alpha1.ScopeAny || tier.Scope == v1alpha1.ScopeRegion && c.Region == v.Region ||
			tier.Scope == v1alpha1.ScopeCenter && c.Center == v.Center ||
			slices.Contains(tier.Regions, c.Region) || slices.Contains(tier.Centers, c.Center) {
			return i
		}
	}
	return -1
}
