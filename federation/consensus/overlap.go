package consensus

import (
	"strings"

	"github.com/hashicorp/raft"
)

// A leader syncs its newest entries while they are on their way to the followers (Ongaro's dissertation, 10.2.1): a
// commit takes the slower of the two, not their sum. Raft itself counts the leader as soon as StoreLogs returns, so
// what a follower answers about an entry is held back from raft until that entry is synced here. Every majority that
// can commit it has such an answer in it, as long as the leader alone is none.
//
//   - There is one sync at a time, and no write behind it: what may be torn at the end of the log is one batch.
//   - Nothing else that this node promises passes it: before the term or the vote is stored, with which an old leader
//     begins to answer a new one, and before raft-wal calls a segment finished, the sync has ended.
//   - An error of the write itself, a full disk above all, is still StoreLogs' own. A sync that fails ends the process.

// ownSync is the sync of entries that raft was told are stored.
type ownSync struct {
	from uint64 // the first of the entries
	done chan struct{}
	err  error // set before done is closed
}

// mayOverlap says whether entries may be synced later. Those that change who is a majority may not.
func (s *logStore) mayOverlap(entries []*raft.Log) bool {
	if s.overlap == nil || !s.overlap() {
		return false
	}
	for _, e := range entries {
		if e.Type == raft.LogConfiguration {
			return false
		}
	}
	return true
}

// write stores entries, and says whether they are synced only later. The sync before has ended.
func (s *logStore) write(entries []*raft.Log) (later bool, err error) {
	if !s.mayOverlap(entries) {
		return false, s.wal.Load().StoreLogs(entries)
	}
	sync := func(f *diskFile) {
		o := &ownSync{from: entries[0].Index, done: make(chan struct{})}
		s.own.Store(o)
		later = true
		// Ends with the sync; whoever closes the file waits for it.
		go func() {
			defer close(o.done)
			defer s.disk.watch("syncing entries")()
			if o.err = f.sync(); o.err == nil {
				s.observe(entries)
			}
		}()
	}
	s.disk.later.Store(&sync)
	defer s.disk.later.Store(nil)
	return later, s.wal.Load().StoreLogs(entries)
}

// isSegment says whether a file is one of the log's.
func isSegment(name string) bool { return strings.HasSuffix(name, ".wal") }

// synced returns when the entry at that index, if there is one, is synced here; never, while the disk hangs, until
// cancel is closed or the node has stopped.
func (s *logStore) synced(index uint64, cancel <-chan struct{}) error {
	o := s.own.Load()
	if o == nil || index < o.from || s.disk.plants.forgetOwnSync {
		return nil
	}
	select {
	case <-o.done:
		return o.err
	case <-cancel:
	case <-s.stopped:
	}
	return ErrStopped
}

// settle returns when everything that was stored is synced.
func (s *logStore) settle() error {
	o := s.own.Load()
	if o == nil || s.disk.plants.forgetOwnSync {
		return nil
	}
	<-o.done
	return o.err
}

// leadsOthers says whether this node leads, and is no majority alone. Raft's main loop asks, which alone changes either.
func (n *Node) leadsOthers() bool {
	r := n.raft.Load()
	if r == nil || r.State() != raft.Leader {
		return false
	}
	_, needed := n.otherVoters()
	return needed > 0
}
