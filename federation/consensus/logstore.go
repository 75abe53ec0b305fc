package consensus

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/segment"
)

// logStore is the log, the term and the vote on disk: raft-wal with rule 4 around it. It is raft's LogStore and
// StableStore.
type logStore struct {
	dir         string
	disk        *disk
	meta        *metaStore
	segmentSize int
	logger      hclog.Logger
	observer    Observer      // may be nil
	running     atomic.Bool   // raft's own goroutines use it
	stopped     chan struct{} // closed when nothing can leave this node any more
	wal         atomic.Pointer[wal.WAL]
	overlap     func() bool             // whether entries may be synced later: see overlap.go; nil: never
	own         atomic.Pointer[ownSync] // the newest such sync
	wrote       func([]*raft.Log)       // is told of each batch that was written; nil: nobody counts

	// writing is held by whoever changes the log: raft's main loop, and its snapshots' goroutine when it compacts.
	writing lock
	// cut says that the end of the log was taken away and nothing was stored since: raft still counts the entries that
	// were there, which only storing corrects.
	cut    bool
	refuse error // why the last StoreLogs was refused; raft's main loop's own

	full atomic.Pointer[time.Time] // when the disk was last found full, if nothing was stored since

	mu         sync.Mutex
	term, from uint64 // the newest term in the log and the index of its first entry there
}

// newLogStore opens the log in a folder whose meta store is open.
func newLogStore(dir string, d *disk, m *metaStore, segmentSize int, logger hclog.Logger) (*logStore, error) {
	s := &logStore{dir: dir, disk: d, meta: m, segmentSize: segmentSize, logger: logger, stopped: make(chan struct{})}
	w, err := s.open()
	if err != nil {
		return nil, err
	}
	if d.spare, err = newSpare(d.FS, dir, segmentSize); err != nil {
		return nil, errors.Join(fmt.Errorf("log: %w", err), w.Close())
	}
	s.wal.Store(w)
	return s, nil
}

func (s *logStore) open() (*wal.WAL, error) {
	if !s.disk.plants.noMend {
		if err := mendTail(s.disk, s.dir, s.meta, s.segmentSize); err != nil {
			return nil, fmt.Errorf("log: %w", err)
		}
	}
	w, err := wal.Open(s.dir,
		wal.WithMetaStore(sharedMeta{s.meta, s}),
		wal.WithSegmentFiler(segment.NewFiler(s.dir, s.disk)),
		wal.WithSegmentSize(s.segmentSize),
		wal.WithLogger(s.logger))
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return w, nil
}

// StoreLogs implements raft.LogStore. When it returns nil, the entries survive a power cut; of a leader, once synced
// returns.
func (s *logStore) StoreLogs(entries []*raft.Log) error {
	if s.disk.failed.Load() {
		return ErrStopped
	}
	defer s.disk.watch("storing entries")()
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.settle(); err != nil {
		return err
	}
	s.disk.spare.spend.Store(s.cut)
	defer s.disk.spare.spend.Store(false)
	later, err := s.write(entries)
	if errors.Is(err, wal.ErrSealed) {
		// The next segment could not be made, for want of room: raft-wal only logs that and stays as it is.
		if err = s.reopen(); err == nil {
			err = s.wal.Load().StoreLogs(entries)
		}
	}
	switch {
	case err == nil && s.disk.failed.Load():
		return ErrStopped
	case err == nil:
		s.cut, s.refuse = false, nil
		s.full.Store(nil)
		s.disk.spare.refill()
		s.note(entries)
		if s.wrote != nil {
			s.wrote(entries)
		}
		if !later {
			s.observe(entries)
		}
		return nil
	case isFull(err) && !s.cut:
		s.refuse = fmt.Errorf("%w: %w", ErrDiskFull, err)
		s.foundFull()
	default:
		s.refuse = s.disk.fail(fmt.Errorf("disk: storing entries: %w", err))
	}
	return s.refuse
}

// StoreLog implements raft.LogStore.
func (s *logStore) StoreLog(entry *raft.Log) error { return s.StoreLogs([]*raft.Log{entry}) }

func (s *logStore) reopen() error {
	old := s.wal.Load()
	last, err := old.LastIndex()
	if err != nil {
		return err
	}
	w, err := s.open()
	if err != nil {
		return err
	}
	if got, err := w.LastIndex(); err != nil || got != last {
		return errors.Join(fmt.Errorf("log ends at %d after it was opened again, not at %d", got, last), err, w.Close())
	}
	s.wal.Store(w)
	return old.Close()
}

// note remembers where the newest term begins.
func (s *logStore) note(entries []*raft.Log) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		if e.Term > s.term {
			s.term, s.from = e.Term, e.Index
		}
	}
}

// newest returns the newest term that this process stored an entry of, and the index of the first such entry.
func (s *logStore) newest() (term, from uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.term, s.from
}

// DeleteRange implements raft.LogStore. The log's end is cut off only with room in hand for the segment that follows:
// ErrDiskFull says that nothing was done. Raft's picture of the log is wrong after any other failure, so that ends the
// process; at the next start the log is as it is on disk.
func (s *logStore) DeleteRange(from, to uint64) error {
	if s.disk.failed.Load() {
		return ErrStopped
	}
	defer s.disk.watch("deleting entries")()
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.settle(); err != nil {
		return err
	}
	first, err := s.wal.Load().FirstIndex()
	if err == nil && from > first && !s.disk.plants.cutWithoutRoom {
		if err := s.disk.spare.take(); isFull(err) {
			s.foundFull()
			return fmt.Errorf("%w: %w", ErrDiskFull, err)
		} else if err != nil {
			return s.disk.fail(fmt.Errorf("disk: deleting entries %d to %d: %w", from, to, err))
		}
	}
	s.disk.spare.spend.Store(true)
	defer s.disk.spare.spend.Store(false)
	if err == nil {
		err = s.wal.Load().DeleteRange(from, to)
	}
	if err != nil {
		return s.disk.fail(fmt.Errorf("disk: deleting entries %d to %d: %w", from, to, err))
	}
	s.cut = s.cut || from > first
	return nil
}

// FirstIndex implements raft.LogStore.
func (s *logStore) FirstIndex() (uint64, error) { return s.wal.Load().FirstIndex() }

// LastIndex implements raft.LogStore.
func (s *logStore) LastIndex() (uint64, error) { return s.wal.Load().LastIndex() }

// GetLog implements raft.LogStore.
func (s *logStore) GetLog(index uint64, entry *raft.Log) error {
	return s.wal.Load().GetLog(index, entry)
}

// IsMonotonic implements raft.MonotonicLogStore: there can be no gap in the log.
func (s *logStore) IsMonotonic() bool { return true }

// Set implements raft.StableStore.
func (s *logStore) Set(key, value []byte) error {
	return s.set(func() error { return s.wal.Load().Set(key, value) }, s.tooLate)
}

// keep is Set for what is not raft's: who calls it hears at once that the disk has failed.
func (s *logStore) keep(key, value []byte) error {
	return s.set(func() error { return s.wal.Load().Set(key, value) }, func() error { return ErrStopped })
}

// SetUint64 implements raft.StableStore.
func (s *logStore) SetUint64(key []byte, value uint64) error {
	return s.set(func() error { return s.wal.Load().SetUint64(key, value) }, s.tooLate)
}

// set writes, and returns what late does once the disk has failed.
func (s *logStore) set(write, late func() error) error {
	if s.disk.failed.Load() {
		return late()
	}
	defer s.disk.watch("storing the term or the vote")()
	if s.settle() != nil {
		return late()
	}
	if err := write(); err != nil {
		if isFull(err) {
			return fmt.Errorf("%w: %w", ErrDiskFull, err)
		}
		s.disk.fail(fmt.Errorf("disk: storing the term or the vote: %w", err))
		return late()
	}
	return nil
}

// tooLate is what a write of the term or the vote comes to after the disk has failed. Raft panics if it cannot write
// its term. Fatal was called; where it returned, as in a test, raft is let go once nothing that follows from this term
// or vote can reach anyone.
func (s *logStore) tooLate() error {
	if !s.running.Load() {
		return ErrStopped
	}
	<-s.stopped
	return nil
}

// Get implements raft.StableStore.
func (s *logStore) Get(key []byte) ([]byte, error) { return s.wal.Load().Get(key) }

// GetUint64 implements raft.StableStore.
func (s *logStore) GetUint64(key []byte) (uint64, error) { return s.wal.Load().GetUint64(key) }

// foundFull remembers that the disk had no room.
func (s *logStore) foundFull() {
	now := time.Now()
	s.full.Store(&now)
}

// fullLately says whether the disk had no room for entries, that long ago at most.
func (s *logStore) fullLately(within time.Duration) bool {
	at := s.full.Load()
	return at != nil && time.Since(*at) < within
}

// close closes the log's files. Nothing may be in progress.
func (s *logStore) close() error {
	_ = s.settle() // the node has ended itself if that failed
	return s.wal.Load().Close()
}
