package render

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pentad.dev/pentad/crds/v1alpha1"
)

// BenchmarkRenderAfterOwnershipChange is one change of the ownership map, from the intent feed to the feed of
// resources, with five services that hear of it among many that don't. It must not depend on how many those are (rule
// 10 of ownership).
func BenchmarkRenderAfterOwnershipChange(b *testing.B) {
	for _, services := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) {
			e := newBoundEstate(b, services)
			b.ReportAllocs()
			for b.Loop() {
				e.changeOwnership()
			}
		})
	}
	// Both in turns, so that a busy machine slows both.
	b.Run("ratio", func(b *testing.B) {
		few, many := newBoundEstate(b, 100), newBoundEstate(b, 10_000)
		var ratios []float64
		for b.Loop() {
			ratios = append(ratios, float64(many.timeOwnership(100))/float64(few.timeOwnership(100)))
		}
		slices.Sort(ratios)
		b.ReportMetric(ratios[len(ratios)/2], "10000/100")
	})
}

// BenchmarkUnitRouteSize reports what the routes of one port of one service take: four units of 25 shards with two
// active cells and a standby each, and one read method.
func BenchmarkUnitRouteSize(b *testing.B) {
	e := newBoundEstate(b, 5)
	sizes := map[string]float64{}
	for b.Loop() {
		for record := range e.log.All() {
			if record.Key == serviceName(0)+":grpc" && record.Kind == TypeRoute {
				sizes["B/routes"] = float64(len(record.Value))
				config := routesOf([]Resource{{Type: TypeRoute, Body: record.Value}})
				sizes["routes"] = float64(len(config.GetVirtualHosts()[0].GetRoutes()))
			}
		}
	}
	for unit, value := range sizes {
		b.ReportMetric(value, unit)
	}
}

type boundEstate struct {
	*estate
	epoch int
}

// newBoundEstate binds the first five services to four units.
func newBoundEstate(b testing.TB, services int) *boundEstate {
	e := &boundEstate{estate: newEstate(b, services), epoch: 1}
	spec := v1alpha1.UnitizationSpec{Shards: 100,
		Key: &v1alpha1.ShardingKey{Header: "x-user-id", Function: v1alpha1.KeyLastDigits}}
	for i, centers := range [][]string{
		{"hz-a", "hz-b", "sh-a"}, {"hz-a", "hz-b", "sz-a"}, {"sh-a", "sh-b", "sz-a"}, {"sh-a", "sh-b", "hz-b"},
	} {
		unit := v1alpha1.Unit{Name: fmt.Sprintf("rz0%d", i+1)}
		for j, center := range centers {
			unit.Cells = append(unit.Cells, v1alpha1.Cell{Center: center, Standby: j == 2})
		}
		spec.Units = append(spec.Units, unit)
	}
	for i := range 5 {
		spec.Services = append(spec.Services,
			v1alpha1.ServiceBinding{Name: serviceName(i), Reads: []string{"/shop.Orders/Get"}})
	}
	e.unitization("users", spec)
	e.own("users", owned(1, e.ranges("")...))
	e.render()
	return e
}

func (e *boundEstate) ranges(frozen string) []string {
	return []string{frozen + "0-24 rz01 hz-a hz-b", "25-49 rz02 hz-a hz-b", "50-74 rz03 sh-a sh-b", "75-99 rz04 sh-a sh-b"}
}

// changeOwnership freezes the first unit's shards, or opens them.
func (e *boundEstate) changeOwnership() {
	e.epoch++
	e.own("users", owned(e.epoch, e.ranges([]string{"", "!"}[e.epoch%2])...))
	if len(e.changed) != 5 {
		e.t.Fatalf("changed: %v", e.changed)
	}
	e.render()
}

func (e *boundEstate) timeOwnership(n int) time.Duration {
	start := time.Now()
	for range n {
		e.changeOwnership()
	}
	return time.Since(start)
}
