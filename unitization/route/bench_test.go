package route

import (
	"fmt"
	"strconv"
	"testing"
	"time"
)

// BenchmarkKeyToCells is key → shard → unit and cells beside the floor in the same run: the key read by
// strconv.ParseUint (which takes 20 digits at most, and no more is asked of it) and one load from an array of the
// owners by shard.
func BenchmarkKeyToCells(b *testing.B) {
	lastDigits := Rules{Unitization: "users", Shards: 100, Header: "h", Function: LastDigits}
	skipped := lastDigits
	skipped.Skip = 2
	modulo := Rules{Unitization: "users", Shards: 16384, Header: "h", Function: Modulo}
	override := lastDigits
	override.Overrides = map[string]int{"1": 3, "2088001203456": 4}
	for _, c := range []struct {
		name   string
		rules  Rules
		digits int
	}{
		{"last digits of 13", lastDigits, 13}, {"last digits of 19", lastDigits, 19},
		{"last digits of 13, 2 skipped", skipped, 13},
		{"modulo of 13", modulo, 13}, {"modulo of 19", modulo, 19}, {"overrides", override, 13},
	} {
		b.Run(c.name, func(b *testing.B) {
			table := must(CompileTable(c.rules))(b)
			var ranges []Range
			var owners [MaxShards]*Range
			for i := range c.rules.Shards {
				ranges = append(ranges, Range{From: i, To: i, Unit: "rz" + strconv.Itoa(i), Cells: []string{"a", "b"}})
				owners[i] = &Range{Unit: "rz" + strconv.Itoa(i), Cells: []string{"a", "b"}}
			}
			m := must(CompileMap(c.rules.Shards, ranges))(b)
			var keys [256]string
			for i := range keys {
				keys[i] = fmt.Sprintf("2088001203456789012"[:c.digits-3]+"%03d", i*37%1000)
			}
			const rounds = 256
			var ours, floor time.Duration
			var cells, bare int
			b.ReportAllocs()
			for b.Loop() {
				begun := time.Now()
				for i := range rounds {
					shard, err := table.Shard(keys[i])
					if err != nil {
						b.Fatal(err)
					}
					_, found, _, _ := m.Lookup(shard)
					cells += len(found)
				}
				between := time.Now()
				for i := range rounds {
					n, err := strconv.ParseUint(keys[i], 10, 64)
					if err != nil {
						b.Fatal(err)
					}
					bare += len(owners[n%uint64(c.rules.Shards)].Cells)
				}
				ours, floor = ours+between.Sub(begun), floor+time.Since(between)
			}
			if cells != bare {
				b.Fatalf("%d cells, %d by the floor", cells, bare)
			}
			calls := float64(b.N) * rounds
			b.ReportMetric(float64(ours.Nanoseconds())/calls, "ns/key")
			b.ReportMetric(float64(floor.Nanoseconds())/calls, "ns/floor")
			b.ReportMetric(float64(ours)/float64(floor), "key/floor")
		})
	}
}

// TestKeyToCellsAllocatesNothing holds the promise that the benchmark shows.
func TestKeyToCellsAllocatesNothing(t *testing.T) {
	table := must(CompileTable(users()))(t)
	m := must(CompileMap(100, []Range{{From: 0, To: 99, Unit: "rz01", Cells: []string{"rz01.hz-a"}}}))(t)
	methods := table.Methods("orders")
	if n := testing.AllocsPerRun(100, func() {
		shard, _ := table.Shard("2088001203456789012345678901234567890")
		m.Lookup(shard)
		if _, err := ParseShard("78", 100); err != nil {
			t.Error(err)
		}
		methods.Read("/orders.v1.Views/Get")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
