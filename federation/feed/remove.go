package feed

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path/filepath"
	"slices"
)

// ErrRemoved is returned by a commit into a log that was removed from its set.
var ErrRemoved = errors.New("feed was removed")

// Remove takes a feed that is withdrawn for good out of memory and off the disk. Its cursors yield one empty reset, and
// the whole set if it comes back; watches name it and Get does not find it; streams close it at both ends.
//
// What was removed does not come back: a few bytes keep the position up to which this process showed the feed, and no
// copy that is not above it is taken again, whoever still holds one. A writer that publishes the feed again hears of
// that position as of any later one (rule 4) and begins above it. The owner sees to it that nobody takes the feed while
// its writer goes on (FollowerConfig.Want, ServiceConfig.Authorize); else it comes back at once, above what it was.
//
// An error is of the disk: the feed is gone from memory, and may come back after a restart until Remove is called again
// and succeeds. To remove what is not there is no error. A feed that Add brought is only let go of.
func (s *Set) Remove(id ID) error {
	s.mu.Lock()
	l, volatile := s.logs[id], s.volatile[id]
	delete(s.logs, id)
	delete(s.volatile, id)
	ended := s.removed[id]
	if l != nil {
		if r := s.readers[id]; r != nil {
			l.adopt(r)
		}
		s.readers[id] = l
		if known := l.end(); !volatile && ended.Before(known) {
			ended = known
			s.removed[id] = known
		}
	}
	s.mu.Unlock()
	if l != nil {
		l.over()
	}
	if volatile || s.dir == "" {
		return nil
	}
	s.saving <- struct{}{}
	defer func() { <-s.saving }()
	delete(s.saved, id)
	if err := s.bury(id, ended); err != nil {
		return fmt.Errorf("remove feed %s: %w", id, err)
	}
	return nil
}

// Ended are the feeds, sorted, that were removed and have not come back.
func (s *Set) Ended() []ID {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var ids []ID
	for id := range s.removed {
		if s.logs[id] == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// ended is up to where a feed was removed; zero: it never was.
func (s *Set) ended(id ID) Position {
	if s.opts.broken.has(removalForgotten) {
		return Position{}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.removed[id]
}

// end stops everything that could change the log and returns up to where it was shown.
func (l *Log) end() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removed, l.role = true, copied
	l.table = newTable() // whoever holds the log on holds an empty one
	return l.pos
}

// over tells the readers of a log that was removed.
func (l *Log) over() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notify(moved | homed)
}

// Removed says that the log was taken out of its set for good.
func (l *Log) Removed() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.removed
}

// after makes a new log one that begins above the position up to which the feed was removed.
func (l *Log) after(ended Position) {
	if !ended.IsZero() {
		l.ended, l.highest = ended, Position{Incarnation: ended.Incarnation, Seq: ended.Seq + 1}
	}
}

// removedSuffix marks the files that keep up to where a feed was removed.
const removedSuffix = ".removed"

// bury makes a removal survive: first the mark, then the snapshot goes. s.saving is full.
func (s *Set) bury(id ID, ended Position) error {
	base := filepath.Join(s.dir, url.PathEscape(string(id)))
	if !ended.IsZero() {
		err := replaceFile(s.opts.FS, base+removedSuffix, func(w io.Writer) error {
			return writeRemoval(w, id, ended)
		})
		if err := errors.Join(err, s.opts.FS.SyncDir(s.dir)); err != nil {
			return err
		}
	}
	if err := s.opts.FS.Remove(base + snapshotSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.opts.FS.SyncDir(s.dir)
}

// resurrect drops the mark of a removal that a snapshot above it makes idle. s.saving is full.
func (s *Set) resurrect(l *Log) error {
	s.mu.Lock()
	ended, marked := s.removed[l.id]
	marked = marked && s.logs[l.id] == l && ended.Before(l.Position())
	s.mu.Unlock()
	if !marked {
		return nil
	}
	path := filepath.Join(s.dir, url.PathEscape(string(l.id))+removedSuffix)
	if err := s.opts.FS.SyncDir(s.dir); err != nil {
		return err
	}
	if err := s.opts.FS.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.logs[l.id] == l {
		delete(s.removed, l.id)
	}
	return nil
}

// loadRemoval reads the mark of a removal.
func (s *Set) loadRemoval(path, name string) error {
	f, err := s.opts.FS.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	id, ended, err := readRemoval(f)
	if err != nil {
		return err
	}
	if named, err := url.PathUnescape(name); err != nil || ID(named) != id {
		return fmt.Errorf("%w: is of feed %s", ErrCorrupt, id)
	}
	s.removed[id] = ended
	return nil
}

// settleRemovals ends removals that were cut off between the mark and the snapshot.
func (s *Set) settleRemovals() error {
	for id, ended := range s.removed {
		if l := s.logs[id]; l != nil && !ended.Before(l.pos) {
			delete(s.logs, id)
			delete(s.saved, id)
			if err := s.bury(id, Position{}); err != nil {
				return fmt.Errorf("feeds: remove feed %s: %w", id, err)
			}
		}
	}
	return nil
}
