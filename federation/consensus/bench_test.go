package consensus

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// benchCluster is a cluster on real files, with the default timeouts.
func benchCluster(b *testing.B, n int) *member {
	b.Helper()
	dir := b.TempDir()
	c := newCluster(b, n, func(i int, cfg *Config) {
		cfg.FS = OS()
		cfg.Dir = filepath.Join(dir, fmt.Sprint(i))
		cfg.HeartbeatTimeout = 0
		cfg.SegmentSize = 0
		cfg.gate = nil
	})
	return c.leader()
}

// clients runs b.N operations spread over that many callers, and reports how long one takes.
func clients(b *testing.B, n int, op func(i int) error) {
	b.Helper()
	var next, spent atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	for range n {
		all.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				began := time.Now()
				if err := op(int(i)); err != nil {
					b.Error(err)
					return
				}
				spent.Add(int64(time.Since(began)))
			}
		})
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64(spent.Load())/float64(b.N)/1e3, "µs/latency")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

// BenchmarkPropose writes 200 bytes, with real syncs, over TLS on loopback.
func BenchmarkPropose(b *testing.B) {
	for _, nodes := range []int{3, 5} {
		for _, n := range []int{1, 16, 128} {
			b.Run(fmt.Sprintf("nodes=%d/clients=%d", nodes, n), func(b *testing.B) {
				l := benchCluster(b, nodes)
				value := fmt.Sprintf("%0160d", 7)
				clients(b, n, func(i int) error {
					_, _, err := l.node.Propose(context.Background(), command{fmt.Sprint("k", i%1000), value}.encode())
					return err
				})
			})
		}
	}
}

// BenchmarkReadIndex confirms the leadership for a linearizable read.
func BenchmarkReadIndex(b *testing.B) {
	for _, nodes := range []int{3, 5} {
		for _, n := range []int{1, 16, 128, 1024} {
			b.Run(fmt.Sprintf("nodes=%d/clients=%d", nodes, n), func(b *testing.B) {
				l := benchCluster(b, nodes)
				clients(b, n, func(int) error {
					_, err := l.node.ReadIndex(context.Background())
					return err
				})
			})
		}
	}
}
