package render

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/catalog"
	"pentad.dev/pentad/federation/model/modelpb"
)

var places = []struct{ center, region string }{
	{"hz-a", "hangzhou"}, {"hz-b", "hangzhou"}, {"sh-a", "shanghai"}, {"sh-b", "shanghai"}, {"sz-a", "shenzhen"},
}

// drawService makes a service with one port in up to seven clusters, some of them silent, with addresses that collide.
func drawService(t *rapid.T) *catalog.Service {
	s := &catalog.Service{
		Name:  "orders",
		Ports: []*modelpb.Port{{Name: "grpc", Number: 9000, Protocol: modelpb.Protocol_PROTOCOL_GRPC}},
	}
	for i := range rapid.IntRange(0, 7).Draw(t, "clusters") {
		place := rapid.SampledFrom(places).Draw(t, "place")
		c := catalog.ClusterEndpoints{Cluster: fmt.Sprintf("c%d", i), Center: place.center, Region: place.region,
			Silent: rapid.IntRange(0, 3).Draw(t, "silent") == 0}
		for range rapid.IntRange(0, 2).Draw(t, "slices") {
			c.Slices = append(c.Slices, drawSlice(t))
		}
		s.Clusters = append(s.Clusters, c)
	}
	if rapid.Bool().Draw(t, "policy") {
		s.Policy = &v1alpha1.ServicePolicySpec{Service: "orders", Failover: rapid.SampledFrom([][]v1alpha1.FailoverTier{
			{{Scope: v1alpha1.ScopeCenter}},
			{{Regions: []string{"shanghai"}}, {Scope: v1alpha1.ScopeRegion}, {Scope: v1alpha1.ScopeAny}},
			{{Centers: []string{"sz-a", "hz-b"}}, {Regions: []string{"hangzhou", "shanghai"}}},
		}).Draw(t, "failover")}
	}
	return s
}

func drawSlice(t *rapid.T) *catalog.Slice {
	slice := &modelpb.EndpointSlice{Service: "orders", PortNames: []string{"grpc"}}
	for range rapid.IntRange(0, 6).Draw(t, "endpoints") {
		slice.Endpoints = append(slice.Endpoints, &modelpb.Endpoint{
			Address: fmt.Sprintf("10.0.0.%d", rapid.IntRange(1, 60).Draw(t, "address")),
			Ports:   []uint32{9000},
			State: rapid.SampledFrom([]modelpb.EndpointState{0, 0, 0, modelpb.EndpointState_ENDPOINT_STATE_DRAINING,
				modelpb.EndpointState_ENDPOINT_STATE_UNHEALTHY}).Draw(t, "state"),
			Weight: rapid.SampledFrom([]uint32{0, 1, 1, 2, 100, 65535}).Draw(t, "weight"),
		})
	}
	packed, err := catalog.NewSlice(slice)
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

func TestEndpointsAreWhereTheyShouldBe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if why := wrong(drawService(t), hangzhou); why != "" {
			t.Fatal(why)
		}
	})
}

// Each rule that is broken on purpose is found by the property that watches it.
func TestBrokenRulesAreFound(t *testing.T) {
	for name, broken := range map[string]breakage{
		"silent withdrawn": breakSilentWithdrawn, "silent like live": breakSilentAlike, "gaps": breakGaps,
		"duplicate addresses": breakDuplicates, "silence": breakSilence, "draining used": breakDraining,
		"no panic": breakPanic, "no spill": breakSpill, "no weights": breakWeights, "policy ignored": breakFailover,
	} {
		t.Run(name, func(t *testing.T) {
			v := hangzhou
			v.broken = broken
			for seed := range 500 {
				if why := wrong(rapid.Custom(drawService).Example(seed), v); why != "" {
					t.Log(why)
					return
				}
			}
			t.Error("not found")
		})
	}
}

// Traffic only ever moves down the tiers when one loses health, and all of it goes somewhere.
func TestSpillIsMonotonic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "tiers")
		ready, all := make([]float64, n), make([]float64, n)
		for i := range n {
			all[i] = float64(rapid.IntRange(1, 40).Draw(t, "all"))
			ready[i] = float64(rapid.IntRange(0, int(all[i])).Draw(t, "ready"))
		}
		before := spill(ready, all)
		var sum, readySum float64
		for i := range n {
			sum, readySum = sum+before[i], readySum+ready[i]
			if before[i] > 0 && ready[i] == 0 {
				t.Fatalf("tier %d has nothing ready and load %v", i, before[i])
			}
		}
		if want := min(1, readySum); math.Abs(sum-want) > 1e-9 && readySum > 0 || readySum == 0 && sum != 0 {
			t.Fatalf("loads %v sum up to %v", before, sum)
		}
		if ready[0]/all[0] >= 1/overprovisioning && before[0] != 1 {
			t.Fatalf("the first tier is %v healthy and has load %v", ready[0]/all[0], before[0])
		}
		hit := rapid.IntRange(0, n-1).Draw(t, "hit")
		if ready[hit] == 0 {
			return
		}
		ready[hit]--
		for i, after := range spill(ready, all) {
			if i == hit && after > before[i]+1e-9 || i != hit && after < before[i]-1e-9 && i > hit {
				t.Fatalf("tier %d lost an endpoint: loads %v became %v", hit, before, spill(ready, all))
			}
		}
	})
}

func TestSpillIsEnvoys(t *testing.T) {
	// The table of Envoy's documentation, "Priority levels", with its factor of 1.4.
	for _, c := range []struct{ health, load []float64 }{
		{[]float64{100, 100, 100}, []float64{100, 0, 0}},
		{[]float64{72, 72, 100}, []float64{100, 0, 0}},
		{[]float64{71, 71, 100}, []float64{99, 1, 0}},
		{[]float64{50, 50, 100}, []float64{70, 30, 0}},
		{[]float64{25, 100, 100}, []float64{35, 65, 0}},
		{[]float64{25, 25, 100}, []float64{35, 35, 30}},
		{[]float64{25, 25, 20}, []float64{36, 36, 28}},
		{[]float64{0, 0, 0}, []float64{0, 0, 0}},
	} {
		all := []float64{100, 100, 100}
		for i, got := range spill(c.health, all) {
			if math.Abs(got*100-c.load[i]) > 1 {
				t.Errorf("health %v: loads %v, want %v", c.health, spill(c.health, all), c.load)
				break
			}
		}
	}
}

// The same input gives the same bytes, whatever the order of maps.
func TestBytesAreDeterministic(t *testing.T) {
	for seed := range 20 {
		s := rapid.Custom(drawService).Example(seed)
		first, err := Service(s, hangzhou)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			again, _ := Service(s, hangzhou)
			for i := range first {
				if string(first[i].Body) != string(again[i].Body) {
					t.Fatalf("%s %q differs", first[i].Type, first[i].Name)
				}
			}
		}
	}
}
