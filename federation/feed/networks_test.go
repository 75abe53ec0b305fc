package feed

import (
	"os"
	"strconv"
	"testing"
)

func TestNetworksKeepEveryRule(t *testing.T) {
	for _, c := range []struct {
		name  string
		plan  plan
		seeds uint64
	}{
		{"all rules", plan{}, 150},
		{"without seals", plan{broken: sealNotCompared}, 150},
		{"restless", plan{restless: true, broken: sealNotCompared}, 100},
		{"clocks behind", plan{behind: true, broken: sealNotCompared}, 60},
		{"home starved", plan{broken: sealNotCompared, starve: true}, 60},
		{"rival writer", plan{rivals: true, broken: sealNotCompared}, 60},
		{"batches lost", plan{lossy: true, broken: sealNotCompared, tamper: losesBatches}, 60},
		{"feeds removed", plan{removes: true, restless: true, broken: sealNotCompared}, 100},
		{"records lost", plan{mistakes: true}, 60},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for seed := range seedsFrom(t, c.seeds) {
				if _, err := simulate(c.plan, seed); err != nil {
					t.Errorf("seed %d: %v", seed, err)
					return
				}
			}
		})
	}
}

// soaking says that this is a long run by hand.
func soaking() bool { return os.Getenv("PENTAD_FEED_SOAK") != "" }

// seedsFrom multiplies the seeds of a default run by PENTAD_FEED_SOAK. With the race detector a few do: the simulator is
// one goroutine.
func seedsFrom(t *testing.T, n uint64) uint64 {
	t.Helper()
	s := os.Getenv("PENTAD_FEED_SOAK")
	switch {
	case s == "" && raceDetector:
		return 5
	case s == "":
		return n
	}
	times, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		t.Fatalf("PENTAD_FEED_SOAK=%s: %v", s, err)
	}
	return n * times
}
