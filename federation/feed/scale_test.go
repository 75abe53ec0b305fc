package feed_test

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
)

// A cluster has a thousand endpoints in ten services, each of which is a slice of a hundred, as a source makes them.
const (
	perCluster = 1000
	perSlice   = 100
	// subscribers hold no copy: they stand at the tail and count what comes.
	subscribers = 1000
)

// costs is what a number of endpoints costs; floors are what the machine takes for the same bytes in the same run.
type costs struct {
	memory, memoryFloor, encoded     float64 // bytes an endpoint
	ingest, catchUp, restart, spread cost
	catchUpFloor, restartFloor       cost
}

// cost is seconds by the wall and of the processor: on a machine that does other things, too, the second is what counts.
type cost struct{ wall, processor float64 }

func processor(b testing.TB) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// spent measures something.
func spent(b testing.TB, do func()) cost {
	b.Helper()
	began, used := time.Now(), processor(b)
	do()
	return cost{time.Since(began).Seconds(), processor(b) - used}
}

// BenchmarkScale is a server with a thousand clusters' feeds and what comes before it: memory, ingest from one agent a
// cluster, a new reader's catching up, the start from disk, and one changed endpoint's way from its agent over the
// server to a thousand subscribers, each with ten feeds open. "cpu" is processor time, by which growth is told: what
// costs as much an endpoint (a change, for the spread) as with a tenth of the endpoints has grown by 1. Floors are a
// plain map; the values copied over a bare connection; the files read and summed; a bare stream's frame to a thousand.
func BenchmarkScale(b *testing.B) {
	done := map[int]costs{}
	var floor cost
	for _, endpoints := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("%d endpoints", endpoints), func(b *testing.B) {
			c, ok := done[endpoints]
			if !ok {
				if c = measureScale(b, endpoints); floor.wall == 0 {
					floor = broadcast(b)
				}
				done[endpoints] = c
			}
			for range b.N { // what is measured is measured once
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(c.encoded, "encoded-B/endpoint")
			b.ReportMetric(c.memory, "B/endpoint")
			b.ReportMetric(c.memory/c.memoryFloor, "B/map")
			b.ReportMetric(c.ingest.wall, "ingest-s")
			b.ReportMetric(c.ingest.processor, "ingest-cpu-s")
			b.ReportMetric(c.catchUp.wall, "catchup-s")
			b.ReportMetric(c.catchUp.processor, "catchup-cpu-s")
			b.ReportMetric(c.catchUp.wall/c.catchUpFloor.wall, "catchup/copy")
			b.ReportMetric(c.restart.wall, "restart-s")
			b.ReportMetric(c.restart.wall/c.restartFloor.wall, "restart/read")
			b.ReportMetric(c.spread.wall*1000, "spread-ms")
			b.ReportMetric(c.spread.processor*1000, "spread-cpu-ms")
			b.ReportMetric(c.spread.wall/floor.wall, "spread/broadcast")
			b.ReportMetric(c.spread.processor/floor.processor, "spread/broadcast-cpu")
			if less, ok := done[endpoints/10]; ok {
				b.ReportMetric(c.memory/less.memory, "B-growth")
				b.ReportMetric(c.ingest.processor/less.ingest.processor/10, "ingest-growth")
				b.ReportMetric(c.catchUp.processor/less.catchUp.processor/10, "catchup-growth")
				b.ReportMetric(c.restart.processor/less.restart.processor/10, "restart-growth")
				b.ReportMetric(c.spread.processor/less.spread.processor, "spread-growth")
			}
		})
	}
}

// clusterFeed is a cluster's whole set as its agent encodes it.
func clusterFeed(b testing.TB, cluster int) (feed.ID, []feed.Change) {
	b.Helper()
	var whole []feed.Change
	for s := range perCluster / perSlice {
		name := fmt.Sprintf("service-%03d", s)
		whole = append(whole, feed.Change{
			Kind: model.KindEndpointSlice, Key: model.SliceKey(name, "1"), Value: sliceOf(b, cluster, s, name, 0),
		})
	}
	return model.FeedID(fmt.Sprintf("cluster-%04d", cluster), "vm"), whole
}

// sliceOf is a service's slice; of its first endpoint the weight is a variable.
func sliceOf(b testing.TB, cluster, s int, name string, weight uint32) []byte {
	b.Helper()
	slice := &modelpb.EndpointSlice{Service: name, PortNames: []string{"grpc", "http"}}
	for e := range perSlice {
		slice.Endpoints = append(slice.Endpoints, &modelpb.Endpoint{
			Address: fmt.Sprintf("10.%d.%d.%d", 16+cluster/250, cluster%250, s*25+e), Ports: []uint32{9000, 8080}, Weight: 100,
		})
	}
	slice.Endpoints[0].Weight = 1 + weight
	value, err := model.Encode(slice)
	if err != nil {
		b.Fatal(err)
	}
	return value
}

func heapInUse() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

func measureScale(b *testing.B, endpoints int) costs {
	var c costs
	clusters := endpoints / perCluster
	start := heapInUse()
	plain := map[string][]byte{}
	for i := range clusters {
		id, whole := clusterFeed(b, i)
		for _, change := range whole {
			plain[string(id)+"/"+change.Kind+"/"+change.Key] = change.Value
			c.encoded += float64(len(change.Value)) / float64(endpoints)
		}
	}
	c.memoryFloor = (heapInUse() - start) / float64(endpoints)
	runtime.KeepAlive(plain)
	plain = nil

	dir := b.TempDir()
	start = heapInUse()
	set, err := feed.OpenSet(dir, feed.Options{})
	if err != nil {
		b.Fatal(err)
	}
	server := serveSet(b, set)
	c.ingest = ingest(b, set, server.address, clusters)
	c.memory = (heapInUse() - start) / float64(endpoints)
	c.catchUp = catchUp(b, set, server.address)
	c.catchUpFloor = copyOverLoopback(b, set)
	c.restart, c.restartFloor = restart(b, set, dir)
	c.spread = spread(b, set, server.address)
	server.stop()
	return c
}
