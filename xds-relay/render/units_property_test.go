package render

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"pgregory.net/rapid"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/catalog"
	"pentad.dev/pentad/federation/model/modelpb"
)

// shanghai sees units from a center that is neither the first by name nor without a neighbour.
var shanghai = View{Class: ClassGRPC, Region: "shanghai", Center: "sh-b"}

// drawUnits makes a service with up to four units in five centers under a random map.
func drawUnits(t *rapid.T) *catalog.Service {
	u := &catalog.Units{Unitization: "users", Type: v1alpha1.UnitSharded,
		Shards: rapid.SampledFrom([]int{1, 2, 7, 11}).Draw(t, "shards"),
		Epoch:  9, Reads: rapid.SampledFrom([][]string{nil, {"/shop.Orders/Get"}, {"/shop.Find/*", "/shop.Orders/Get"},
			{"/shop.Orders/Get", "*", "/shop.Orders/Put*"}}).Draw(t, "reads")}
	if u.Shards == 1 {
		u.Type = v1alpha1.UnitGlobal
	}
	units := []string{"rz01", "rz02", "rz03"}
	for _, unit := range append(units, "cz") {
		kind := u.Type
		if unit == "cz" {
			if kind = v1alpha1.UnitCity; u.Shards > 1 {
				break
			}
		}
		for _, p := range places {
			if rapid.IntRange(0, 2).Draw(t, "cell") > 0 {
				u.Cells = append(u.Cells, drawCell(t, unit, kind, p.center, p.region, len(u.Cells)))
			}
		}
	}
	slices.SortFunc(u.Cells, func(a, b *catalog.Cell) int { return strings.Compare(a.Name, b.Name) })
	for from := 0; from < u.Shards; {
		to := rapid.IntRange(from, u.Shards-1).Draw(t, "to")
		r := catalog.Range{From: from, To: to, Unit: rapid.SampledFrom(units).Draw(t, "unit"),
			Frozen: rapid.IntRange(0, 2).Draw(t, "frozen") == 0, Since: uint64(rapid.IntRange(1, 9).Draw(t, "since"))}
		for _, c := range u.Cells {
			if c.Unit == r.Unit && rapid.Bool().Draw(t, "active") {
				r.Cells = append(r.Cells, c.Name)
			}
		}
		u.Ranges = append(u.Ranges, r)
		from = to + 1
	}
	if rapid.IntRange(0, 9).Draw(t, "refused") == 0 {
		u.Refused, u.Ranges = "no map", nil
	}
	return &catalog.Service{Name: "orders", Units: u,
		Ports: []*modelpb.Port{{Name: "grpc", Number: 9000, Protocol: modelpb.Protocol_PROTOCOL_GRPC}}}
}

func drawCell(t *rapid.T, unit string, kind v1alpha1.UnitType, center, region string, number int) *catalog.Cell {
	cell := &catalog.Cell{Name: unit + "." + center, Unit: unit, Type: kind, Center: center, Region: region}
	for i := range rapid.IntRange(0, 2).Draw(t, "clusters") {
		slice := &modelpb.EndpointSlice{Service: "orders", PortNames: []string{"grpc"}, Unit: unit}
		for e := range rapid.IntRange(0, 2).Draw(t, "endpoints") {
			slice.Endpoints = append(slice.Endpoints, &modelpb.Endpoint{
				Address: fmt.Sprintf("10.%d.%d.%d", number, i, e+1), Ports: []uint32{9000},
				State: modelpb.EndpointState(rapid.IntRange(0, 2).Draw(t, "state")),
			})
		}
		packed, err := catalog.NewSlice(slice)
		if err != nil {
			t.Fatal(err)
		}
		cell.Clusters = append(cell.Clusters, catalog.ClusterEndpoints{Cluster: fmt.Sprintf("c%d", i), Center: center,
			Region: region, Silent: rapid.IntRange(0, 3).Draw(t, "silent") == 0, Slices: []*catalog.Slice{packed}})
	}
	return cell
}

// For every shard and method, the first route that matches leads to a cell that the map says is active, or refuses.
func TestEveryCallGoesWhereTheMapSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if why := wrongUnits(drawUnits(t), shanghai); why != "" {
			t.Fatal(why)
		}
	})
}

// A freeze changes abort settings: everything but the routes is the same to the byte, and the routes name the same.
func TestAFreezeChangesNothingButAborts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if why := wrongFreeze(drawUnits(t), shanghai); why != "" {
			t.Fatal(why)
		}
	})
}

// wrongFreeze opens and freezes each range in turn, and says what else than aborts differs between the two.
func wrongFreeze(s *catalog.Service, v View) string {
	for i := range s.Units.Ranges {
		open, err := Service(withRange(s, i, false), v)
		if err != nil {
			return err.Error()
		}
		frozen, err := Service(withRange(s, i, true), v)
		if err != nil {
			return err.Error()
		}
		if len(open) != len(frozen) {
			return fmt.Sprintf("%d resources became %d", len(open), len(frozen))
		}
		for j := range open {
			if open[j].Type != TypeRoute && string(open[j].Body) != string(frozen[j].Body) {
				return fmt.Sprintf("%s %q changed", open[j].Type, open[j].Name)
			}
		}
		openRoutes, frozenRoutes := routesOf(open), routesOf(frozen)
		for _, c := range callsOf(s.Units) {
			if was, now := clusterFor(openRoutes, c), clusterFor(frozenRoutes, c); was != now {
				return fmt.Sprintf("%s: the route that takes it names %q, and named %q before the freeze", c, now, was)
			}
		}
	}
	return ""
}

func withRange(s *catalog.Service, i int, frozen bool) *catalog.Service {
	out, u := *s, *s.Units
	u.Ranges = slices.Clone(u.Ranges)
	u.Ranges[i].Frozen = frozen
	out.Units = &u
	return &out
}

// clusterFor is what the first matching route names, aborted or not.
func clusterFor(config *routev3.RouteConfiguration, c unitCall) string {
	for _, r := range config.GetVirtualHosts()[0].GetRoutes() {
		if ok, _ := matches(r.GetMatch(), c); ok {
			return r.GetRoute().GetCluster()
		}
	}
	return ""
}

// Each rule that is broken on purpose is found by a property.
func TestBrokenRulesOfUnitsAreFound(t *testing.T) {
	for name, broken := range map[string]breakage{
		"frozen ranges removed instead of aborted": breakFreeze, "reads aborted": breakReads,
		"a range ends too early": breakRange, "candidates not named beforehand": breakUnnamed,
		"routed to a standby cell": breakActive, "not the nearest": breakNearest,
		"the nearest without endpoints": breakReach, "open merged with frozen": breakMerge,
		"City copies unused": breakCity, "calls without a shard pass": breakStamp,
		"the last route passes": breakLast, "plain without a map": breakRefused,
	} {
		t.Run(name, func(t *testing.T) {
			v := shanghai
			v.broken = broken
			for seed := range 500 {
				s := rapid.Custom(drawUnits).Example(seed)
				if why := wrongUnits(s, v) + wrongFreeze(s, v); why != "" {
					t.Logf("service %d: %s", seed, why)
					return
				}
			}
			t.Error("not found")
		})
	}
}

// The same input gives the same bytes.
func TestBytesOfUnitsAreDeterministic(t *testing.T) {
	for seed := range 20 {
		s := rapid.Custom(drawUnits).Example(seed)
		first, err := Service(s, shanghai)
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			again, _ := Service(s, shanghai)
			for i := range first {
				if string(first[i].Body) != string(again[i].Body) {
					t.Fatalf("%s %q differs", first[i].Type, first[i].Name)
				}
			}
		}
	}
}
