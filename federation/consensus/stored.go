package consensus

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// storedTimes knows when the newest entries were written here, so that it can be said how long they waited for their
// commit. It is for numbers only: what it has forgotten is not counted.
type storedTimes struct {
	mu      sync.Mutex
	batches []storedBatch // in the order of their entries
}

type storedBatch struct {
	first, last uint64
	at          time.Time
}

// storedBatches is how many batches are remembered: more wait for their commit only at who has lost the leader.
const storedBatches = 1024

// note remembers entries that were written now. What was at their places before is gone.
func (s *storedTimes) note(entries []*raft.Log) {
	first, last := entries[0].Index, entries[len(entries)-1].Index
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := len(s.batches); n > 0 && s.batches[n-1].last >= first; n-- {
		s.batches = s.batches[:n-1]
	}
	if len(s.batches) == storedBatches {
		s.batches = append(s.batches[:0], s.batches[storedBatches/2:]...)
	}
	s.batches = append(s.batches, storedBatch{first: first, last: last, at: time.Now()})
}

// at returns when an entry was written; false when that is not known. Entries are asked for in their order.
func (s *storedTimes) at(index uint64) (at time.Time, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(s.batches) && s.batches[n].last < index {
		n++
	}
	s.batches = s.batches[n:]
	if len(s.batches) == 0 || s.batches[0].first > index {
		return time.Time{}, false
	}
	return s.batches[0].at, true
}
