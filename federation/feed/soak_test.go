package feed

import (
	"os"
	"strconv"
	"testing"
)

// seedsFrom multiplies the seeds of a default run by PENTAD_FEED_SOAK, for long runs by hand.
func seedsFrom(t *testing.T, n uint64) uint64 {
	t.Helper()
	s := os.Getenv("PENTAD_FEED_SOAK")
	if s == "" {
		return n
	}
	times, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		t.Fatalf("PENTAD_FEED_SOAK=%s: %v", s, err)
	}
	return n * times
}
