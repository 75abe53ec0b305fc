package consensus

import (
	"testing"

	"github.com/hashicorp/raft"
)

func TestStoredTimes(t *testing.T) {
	s := &storedTimes{}
	batch := func(first, last uint64) {
		var entries []*raft.Log
		for i := first; i <= last; i++ {
			entries = append(entries, &raft.Log{Index: i})
		}
		s.note(entries)
	}
	check := func(index uint64, want bool) {
		t.Helper()
		if at, known := s.at(index); known != want || at.IsZero() == want {
			t.Fatalf("entry %d: %v, %v, want it known: %v", index, at, known, want)
		}
	}
	check(1, false)
	batch(5, 7)
	batch(8, 8)
	check(4, false) // from before the process
	check(5, true)
	check(7, true)
	batch(9, 12)
	batch(10, 10) // the end of the log was another leader's
	check(8, true)
	check(9, false) // of a batch whose end is gone
	check(10, true)
	check(11, false)
	for i := range uint64(3 * storedBatches) {
		batch(20+i, 20+i)
	}
	if len(s.batches) > storedBatches {
		t.Fatalf("%d batches are remembered, at most %d may be", len(s.batches), storedBatches)
	}
	check(20+3*storedBatches-1, true)
}
