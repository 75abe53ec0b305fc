package sim

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The environment of `make sim`.
const (
	// hoursEnv is how many hours to simulate.
	hoursEnv = "PENTAD_SIM_HOURS"
	// seedEnv is the first run's seed; the others follow.
	seedEnv = "PENTAD_SIM_SEED"
	// replayEnv names a file that a run left which found something.
	replayEnv = "PENTAD_SIM_REPLAY"
	// keepEnv names the folder for such files.
	keepEnv = "PENTAD_SIM_KEEP"
)

const (
	// runLength is how long one estate lives when hours are simulated, shortLength when only a look is taken.
	runLength, shortLength = 20 * time.Minute, 5 * time.Minute
)

// Five servers and all that depends on them keep every promise under the faults of many seeds.
func TestSimulation(t *testing.T) {
	if os.Getenv(replayEnv) != "" {
		t.Skip("a kept run is replayed")
	}
	length, most := shortLength, shortLength
	if hours := os.Getenv(hoursEnv); hours != "" {
		h, err := strconv.ParseFloat(hours, 64)
		if err != nil || h <= 0 {
			t.Fatalf("%s: %q: must be a number of hours above 0", hoursEnv, hours)
		}
		length, most = runLength, time.Duration(h*float64(time.Hour))
	}
	seed := firstSeed(t)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	totals := newTotals(most)
	var next atomic.Uint64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for ctx.Err() == nil && totals.begin(length-settles/2) {
				s := newSchedule(seed+next.Add(1)-1, length)
				t.Run(fmt.Sprint("seed ", s.Seed), func(t *testing.T) {
					o := simulate(t, s, plant{})
					totals.add(o)
					if len(o.violations) > 0 {
						t.Errorf("%v\nkept in %s", o.violations, keep(t, o))
					}
				})
			}
		})
	}
	workers.Wait()
	if ctx.Err() != nil {
		fmt.Println("interrupted: what was simulated until then")
	}
	totals.print(os.Stdout)
	if totals.answered == 0 {
		t.Error("no operation of any client was answered")
	}
}

// firstSeed is where seeds begin.
func firstSeed(t *testing.T) uint64 {
	t.Helper()
	s := os.Getenv(seedEnv)
	if s == "" {
		return 1
	}
	seed, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %q: must be a whole number", seedEnv, s)
	}
	return seed
}

// A kept run is run again: with the same faults at the same times, upon an estate whose goroutines may take turns in
// another order.
func TestReplay(t *testing.T) {
	path := os.Getenv(replayEnv)
	if path == "" {
		t.Skipf("%s names no kept run", replayEnv)
	}
	kept, err := readKept(path)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := planted(kept.Schedule.Plant)
	o := simulate(t, kept.Schedule, p)
	fmt.Printf("seed %d, %d faults, %s simulated; found then: %v\n", kept.Schedule.Seed, len(kept.Schedule.Faults), o.simulated, kept.Violations)
	if len(o.violations) == 0 {
		fmt.Println("found now: nothing; the schedule is the same, the turns that goroutines take are not: try it some more times")
		return
	}
	t.Errorf("found now: %v\nkept in %s", o.violations, keep(t, o))
}
