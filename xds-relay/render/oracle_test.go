package render

import (
	"fmt"
	"math"
	"math/big"
	"slices"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/federation/catalog"
	"pentad.dev/pentad/federation/model/modelpb"
)

// wrong says what is wrong with the resources rendered for a service; empty: nothing.
func wrong(s *catalog.Service, v View) string {
	resources, err := Service(s, v)
	if err != nil {
		return err.Error()
	}
	if why := unresolved(resources); why != "" {
		return why
	}
	var cla *endpointv3.ClusterLoadAssignment
	for _, r := range resources {
		if r.Type == TypeEndpoint {
			cla = message[*endpointv3.ClusterLoadAssignment](r)
		}
	}
	if why := malformed(cla); why != "" {
		return why
	}
	return misplaced(cla, want(s, v))
}

func message[M proto.Message](r Resource) M {
	a, err := unpackAny(r.Body)
	if err != nil {
		panic(err)
	}
	return a.(M)
}

// unresolved finds names that a resource has and that nothing was rendered for.
func unresolved(resources []Resource) string {
	have := map[Name]bool{}
	for _, r := range resources {
		for _, n := range r.Needs {
			if !have[n] {
				return fmt.Sprintf("%s %q needs %s %q, which doesn't come before it", r.Type, r.Name, n.Type, n.Name)
			}
		}
		have[Name{r.Type, r.Name}] = true
	}
	for _, r := range resources {
		if r.Type != TypeRoute {
			continue
		}
		for _, host := range message[*routev3.RouteConfiguration](r).GetVirtualHosts() {
			for _, route := range host.GetRoutes() {
				c := route.GetRoute().GetCluster()
				if !have[Name{TypeCluster, c}] || !have[Name{TypeEndpoint, c}] {
					return fmt.Sprintf("route %q names %q without its cluster and endpoints", r.Name, c)
				}
			}
		}
	}
	return ""
}

// malformed is gRPC's own judgement of an assignment.
func malformed(cla *endpointv3.ClusterLoadAssignment) string {
	addresses, localities := map[string]bool{}, map[string]bool{}
	weights := map[uint32]uint64{}
	for _, l := range cla.GetEndpoints() {
		if l.GetLoadBalancingWeight().GetValue() == 0 {
			return fmt.Sprintf("locality without weight: %v", l.GetLocality())
		}
		weights[l.GetPriority()] += uint64(l.GetLoadBalancingWeight().GetValue())
		if weights[l.GetPriority()] > math.MaxUint32 {
			return "weights of a priority overflow"
		}
		id := fmt.Sprint(l.GetPriority(), l.GetLocality())
		if localities[id] {
			return "locality twice in a priority: " + id
		}
		localities[id] = true
		var sum uint64
		for _, e := range l.GetLbEndpoints() {
			socket := e.GetEndpoint().GetAddress().GetSocketAddress()
			address := fmt.Sprint(socket.GetAddress(), ":", socket.GetPortValue())
			if addresses[address] {
				return "address twice: " + address
			}
			addresses[address] = true
			if e.GetLoadBalancingWeight() != nil && e.GetLoadBalancingWeight().GetValue() == 0 {
				return "endpoint with weight 0: " + address
			}
			if sum += uint64(e.GetLoadBalancingWeight().GetValue()); sum > math.MaxUint32 {
				return "weights of a locality overflow"
			}
		}
	}
	for p := range len(weights) {
		if weights[uint32(p)] == 0 {
			return fmt.Sprintf("priority %d is missing", p)
		}
	}
	return ""
}

// misplaced compares an assignment with where the addresses should be.
func misplaced(cla *endpointv3.ClusterLoadAssignment, all []wanted) string {
	usable := modelpb.EndpointState_ENDPOINT_STATE_UNHEALTHY
	if slices.ContainsFunc(all, func(w wanted) bool { return w.state == modelpb.EndpointState_ENDPOINT_STATE_READY }) {
		usable = modelpb.EndpointState_ENDPOINT_STATE_READY
	}
	at := map[string]*endpointv3.LocalityLbEndpoints{}
	for _, l := range cla.GetEndpoints() {
		for _, e := range l.GetLbEndpoints() {
			at[e.GetEndpoint().GetAddress().GetSocketAddress().GetAddress()] = l
		}
	}
	ranks := map[uint32]map[int]float64{} // priority → rank → weight
	for _, w := range all {
		l, ok := at[w.ip]
		if ok != (w.state == usable) {
			return fmt.Sprintf("%s in cluster %s (%s, rank %d): served: %v", w.ip, w.cluster, w.state, w.rank, ok)
		}
		delete(at, w.ip)
		if ok {
			if ranks[l.GetPriority()] == nil {
				ranks[l.GetPriority()] = map[int]float64{}
			}
			ranks[l.GetPriority()][w.rank] = 0
		}
	}
	if len(at) > 0 {
		return fmt.Sprintf("served, but in no record: %v", at)
	}
	if why := disordered(ranks, usable, wantLoads(all)); why != "" {
		return why
	}
	return misweighed(cla, all, usable)
}

// disordered checks the order of preference: by rank, and only live ranks with load together, in the first priority.
func disordered(ranks map[uint32]map[int]float64, usable modelpb.EndpointState, loads map[int]*big.Rat) string {
	last := -1
	for p := range len(ranks) {
		var here []int
		for rank := range ranks[uint32(p)] {
			here = append(here, rank)
		}
		slices.Sort(here)
		if here[0] <= last {
			return fmt.Sprintf("priority %d holds rank %d, after rank %d", p, here[0], last)
		}
		last = here[len(here)-1]
		for _, rank := range here {
			load, loaded := loads[rank]
			loaded = loaded && load.Sign() > 0 && usable == modelpb.EndpointState_ENDPOINT_STATE_READY
			switch {
			case loaded && p != 0:
				return fmt.Sprintf("rank %d has load %s and is in priority %d", rank, load.FloatString(3), p)
			case !loaded && len(here) > 1:
				return fmt.Sprintf("rank %d has no load and shares priority %d with %v", rank, p, here)
			}
		}
	}
	return ""
}

// misweighed checks each locality's part of its priority's traffic against the exact one.
func misweighed(cla *endpointv3.ClusterLoadAssignment, all []wanted, usable modelpb.EndpointState) string {
	loads := wantLoads(all)
	byIP := map[string]wanted{}
	ofRank := map[int]*big.Rat{}
	for _, w := range all {
		byIP[w.ip] = w
		if w.state == usable {
			if ofRank[w.rank] == nil {
				ofRank[w.rank] = new(big.Rat)
			}
			ofRank[w.rank].Add(ofRank[w.rank], capacityOf(w, all))
		}
	}
	for _, l := range cla.GetEndpoints() {
		part, rank := new(big.Rat), 0
		for _, e := range l.GetLbEndpoints() {
			w := byIP[e.GetEndpoint().GetAddress().GetSocketAddress().GetAddress()]
			rank = w.rank
			part.Add(part, capacityOf(w, all))
			if max(1, e.GetLoadBalancingWeight().GetValue()) != w.weight {
				return fmt.Sprintf("%s has weight %v, want %d", w.ip, e.GetLoadBalancingWeight(), w.weight)
			}
		}
		part.Quo(part, ofRank[rank])
		if load := loads[rank]; load != nil && load.Sign() > 0 && usable == modelpb.EndpointState_ENDPOINT_STATE_READY {
			part.Mul(part, load)
		}
		exact, _ := part.Float64()
		if got := float64(l.GetLoadBalancingWeight().GetValue()); math.Abs(got-max(1, exact*wholeLoad)) > 1 {
			return fmt.Sprintf("locality %v has weight %v, want %v", l.GetLocality(), got, exact*wholeLoad)
		}
	}
	return ""
}
