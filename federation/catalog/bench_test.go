package catalog

import (
	"fmt"
	"runtime"
	"testing"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
)

// BenchmarkMemory is what an endpoint costs a holder: in the feeds, and in the catalog beside them, which shares the
// feeds' bytes.
func BenchmarkMemory(b *testing.B) {
	const services, endpoints = 1000, 20
	clusters := []string{"hz-a", "hz-b", "sh-a", "sh-b", "sz-a"}
	count := float64(len(clusters) * services * endpoints)
	var inFeeds, inCatalog float64
	for b.Loop() {
		start := heap()
		var logs []*feed.Log
		for i, cluster := range clusters {
			log := feed.NewLog(model.FeedID(cluster, "vm"), feed.Filter{}, feed.Options{})
			if _, err := log.Begin(1, wholeSet(i, services, endpoints)); err != nil {
				b.Fatal(err)
			}
			logs = append(logs, log)
		}
		filled := heap()
		c := declared(clusters...)
		for _, log := range logs {
			cursor := log.Cursor(feed.Position{})
			batch, _ := cursor.Next()
			c.Apply(log.ID(), batch)
			cursor.Close()
		}
		merged := heap()
		if len(c.Names()) != services {
			b.Fatal(len(c.Names()))
		}
		inFeeds, inCatalog = (filled-start)/count, (merged-filled)/count
		runtime.KeepAlive(logs)
	}
	b.ReportMetric(inFeeds, "feed-B/endpoint")
	b.ReportMetric(inCatalog, "catalog-B/endpoint")
}

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// wholeSet is a cluster's whole set: services of one slice each.
func wholeSet(cluster, services, endpoints int) []feed.Change {
	var out []feed.Change
	for i := range services {
		name := fmt.Sprintf("service-%05d", i)
		slice := &modelpb.EndpointSlice{Service: name, PortNames: []string{"grpc"}}
		for e := range endpoints {
			slice.Endpoints = append(slice.Endpoints, &modelpb.Endpoint{
				Address: fmt.Sprintf("10.%d.%d.%d", cluster, i%250, e+1), Ports: []uint32{uint32(9000 + i/250)},
			})
		}
		out = append(out, service(name, 1, port("grpc", 9000)),
			feed.Change{Kind: model.KindEndpointSlice, Key: model.SliceKey(name, "1"), Value: encode(slice)})
	}
	return out
}
