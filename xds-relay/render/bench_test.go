package render

import (
	"fmt"
	"testing"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
)

// BenchmarkRenderAfterOneChange is one endpoint's change, from the cluster's feed to the feed of resources:
// catalog.Apply and Renderer.Update, each time of another service. It must not depend on how many services there are:
// the ratio of the two is to be at most 1.2.
func BenchmarkRenderAfterOneChange(b *testing.B) {
	for _, services := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) {
			r := estate(b, services)
			id := model.FeedID("hz-a", "static")
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				service := i % services
				// A turn over all services makes them unhealthy, the next one ready again.
				state := modelpb.EndpointState(2 * ((i/services + 1) % 2))
				r.commit(id, sliceOf(b, "hz-a", service, state))
				if len(r.changed) != 1 {
					b.Fatalf("changed: %v", r.changed)
				}
				r.render()
			}
		})
	}
}

// estate is services in five clusters, four endpoints in each.
func estate(b testing.TB, services int) *relay {
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
	return r
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
