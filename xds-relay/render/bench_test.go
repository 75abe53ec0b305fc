package render

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
)

// BenchmarkRenderAfterOneChange is one endpoint's change, from the cluster's feed to the feed of resources:
// catalog.Apply and Renderer.Update, each time of another service. It must not depend on how many services there are.
func BenchmarkRenderAfterOneChange(b *testing.B) {
	for _, services := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) {
			e := newEstate(b, services)
			b.ReportAllocs()
			for b.Loop() {
				e.changeOne()
			}
		})
	}
	// Both in turns, so that a busy machine slows both: the ratio is to be at most 1.2.
	b.Run("ratio", func(b *testing.B) {
		few, many := newEstate(b, 100), newEstate(b, 10_000)
		var ratios []float64
		for b.Loop() {
			ratios = append(ratios, float64(many.timeChanges(500))/float64(few.timeChanges(500)))
		}
		slices.Sort(ratios)
		b.ReportMetric(ratios[len(ratios)/2], "10000/100")
	})
}

type estate struct {
	*relay
	services, turn int
}

func (e *estate) timeChanges(n int) time.Duration {
	start := time.Now()
	for range n {
		e.changeOne()
	}
	return time.Since(start)
}

// changeOne changes one endpoint of the next service: a turn over all services makes them unhealthy, the next one
// ready.
func (e *estate) changeOne() {
	state := modelpb.EndpointState(2 * ((e.turn/e.services + 1) % 2))
	e.commit(model.FeedID("hz-a", "static"), sliceOf(e.t, "hz-a", e.turn%e.services, state))
	if len(e.changed) != 1 {
		e.t.Fatalf("changed: %v", e.changed)
	}
	e.render()
	e.turn++
}

// newEstate is services in five clusters, four endpoints in each.
func newEstate(b testing.TB, services int) *estate {
	r := newFeed(b, hangzhou)
	for _, cluster := range []string{"hz-a", "hz-b", "sh-a", "sh-b", "sz-a"} {
		var changes []feed.Change
		for service := range services {
			name := serviceName(service)
			changes = append(changes, feed.Change{Kind: model.KindService, Key: name, Value: encoded(b, &modelpb.Service{
				Name: name, Ports: []*modelpb.Port{{Name: "grpc", Number: 9000, Protocol: modelpb.Protocol_PROTOCOL_GRPC}},
			})}, sliceOf(b, cluster, service, modelpb.EndpointState_ENDPOINT_STATE_READY))
		}
		r.commit(model.FeedID(cluster, "static"), changes...)
	}
	r.render()
	return &estate{relay: r, services: services}
}

func serviceName(i int) string { return fmt.Sprintf("service-%05d", i) }

func sliceOf(b testing.TB, cluster string, service int, first modelpb.EndpointState) feed.Change {
	net := map[string]int{"hz-a": 1, "hz-b": 2, "sh-a": 3, "sh-b": 4, "sz-a": 5}[cluster]
	slice := &modelpb.EndpointSlice{Service: serviceName(service), PortNames: []string{"grpc"}}
	for i := range 4 {
		slice.Endpoints = append(slice.Endpoints, &modelpb.Endpoint{
			Address: fmt.Sprintf("10.%d.%d.%d", net, service%250, i+1), Ports: []uint32{uint32(9000 + service/250)},
		})
	}
	slice.Endpoints[0].State = first
	key := model.SliceKey(serviceName(service), "1")
	return feed.Change{Kind: model.KindEndpointSlice, Key: key, Value: encoded(b, slice)}
}
