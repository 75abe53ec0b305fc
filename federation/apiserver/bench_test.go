package apiserver

import (
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// BenchmarkCreate creates centers over HTTPS, by one client and by 16 at once, with a replica and no log behind the
// server. It reports the median of one call, and the process's memory with one server.
func BenchmarkCreate(b *testing.B) {
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			s := serve(b, newAuthority(b), newEstate(b, 1).members[0])
			c := s.client(AdminGroup)
			if _, err := c.Centers().List(b.Context(), metav1.ListOptions{}); err != nil {
				b.Fatal(err)
			}
			debug.FreeOSMemory()
			memory := resident(b)
			var mu sync.Mutex
			var took []time.Duration
			next := 0
			b.ResetTimer()
			var working sync.WaitGroup
			for range clients {
				working.Go(func() {
					for {
						mu.Lock()
						n := next
						next++
						mu.Unlock()
						if n >= b.N {
							return
						}
						start := time.Now()
						_, err := c.Centers().Create(b.Context(), center(fmt.Sprintf("c-%d", n), "hangzhou"),
							metav1.CreateOptions{})
						mu.Lock()
						took = append(took, time.Since(start))
						mu.Unlock()
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			working.Wait()
			b.StopTimer()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "creates/s")
			b.ReportMetric(memory, "MiB-resident")
		})
	}
}

func resident(b *testing.B) float64 {
	b.Helper()
	content, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0 // not Linux
	}
	for line := range strings.Lines(string(content)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "VmRSS: %f kB", &kib); n == 1 {
			return kib / 1024
		}
	}
	return 0
}
