package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// snapshotSuffix marks the snapshots in a set's directory; the rest of the name is the feed's, escaped.
const snapshotSuffix = ".feed"

// load reads the snapshots of the set's directory. What cannot be read in full is set aside.
func (s *Set) load() error {
	if err := s.opts.FS.MkdirAll(s.dir); err != nil {
		return fmt.Errorf("feeds: %w", err)
	}
	names, err := s.opts.FS.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("feeds: %w", err)
	}
	slices.Sort(names)
	for _, file := range names {
		path := filepath.Join(s.dir, file)
		var err error
		if name, ok := strings.CutSuffix(file, snapshotSuffix); ok {
			err = s.loadSnapshot(path, name)
		} else if name, ok := strings.CutSuffix(file, removedSuffix); ok {
			err = s.loadRemoval(path, name)
		} else if strings.HasSuffix(file, snapshotSuffix+newSuffix) || strings.HasSuffix(file, removedSuffix+newSuffix) {
			err = s.opts.FS.Remove(path) // a save that was cut off
		}
		if errors.Is(err, ErrCorrupt) {
			aside := path + ".corrupt"
			if moved := s.opts.FS.Rename(path, aside); moved != nil {
				return fmt.Errorf("feeds: %s: %w; set aside: %w", path, err, moved)
			}
			s.opts.Log.Error("file set aside, the feed starts empty", "path", aside, "error", err)
		} else if err != nil {
			return fmt.Errorf("feeds: %s: %w", path, err)
		}
	}
	return s.settleRemovals()
}

func (s *Set) loadSnapshot(path, name string) error {
	l, err := s.read(path, name)
	if err != nil {
		return err
	}
	l.observer = s.observe
	s.logs[l.id], s.saved[l.id] = l, l.stored()
	return nil
}

func (s *Set) read(path, name string) (*Log, error) {
	f, err := s.opts.FS.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	l, err := readSnapshot(f, s.opts)
	if err != nil {
		return nil, err
	}
	if id, err := url.PathUnescape(name); err != nil || ID(id) != l.id {
		return nil, fmt.Errorf("%w: holds feed %s", ErrCorrupt, l.id)
	}
	return l, nil
}

// save replaces the feed's snapshot in one step: a crash leaves the old one or the new one. s.saving is full.
func (s *Set) save(l *Log) error {
	if l.Position().IsZero() {
		return nil
	}
	if s.saved[l.id] == l.stored() {
		return nil
	}
	var v stored
	path := filepath.Join(s.dir, url.PathEscape(string(l.id))+snapshotSuffix)
	err := replaceFile(s.opts.FS, path, func(w io.Writer) (err error) {
		v, err = l.writeSnapshot(w)
		return err
	})
	if err == nil {
		err = s.resurrect(l)
	}
	if err != nil {
		return fmt.Errorf("save feed %s: %w", l.id, err)
	}
	s.saved[l.id] = v
	return nil
}

// newSuffix marks a file that is being written.
const newSuffix = ".new"

// replaceFile writes beside path, syncs and renames; the directory is the caller's to sync.
func replaceFile(fs FS, path string, write func(io.Writer) error) (err error) {
	f, err := fs.Create(path + newSuffix)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, fs.Remove(path+newSuffix))
		}
	}()
	if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	return fs.Rename(path+newSuffix, path)
}

// Save writes the feed's snapshot now, as a writer does with an incarnation that it is about to use.
func (s *Set) Save(id ID) error {
	if s.dir == "" {
		return nil
	}
	return errors.Join(s.saveOne(id), s.opts.FS.SyncDir(s.dir))
}

func (s *Set) saveOne(id ID) error {
	s.saving <- struct{}{} // before the look: a feed that is removed meanwhile must not be written again
	defer func() { <-s.saving }()
	s.mu.RLock()
	l, volatile := s.logs[id], s.volatile[id]
	s.mu.RUnlock()
	if l == nil || volatile {
		return nil
	}
	return s.save(l)
}

// Run saves the snapshots of what changed until ctx ends, and all that is not saved yet then. A failed save is logged
// and tried again; the error of the last one is returned.
func (s *Set) Run(ctx context.Context) error {
	watch := s.watch(moved | labelled)
	defer watch.Close()
	if s.dir == "" {
		<-ctx.Done()
		return nil
	}
	d := saver{set: s, dirty: map[ID]bool{}}
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			d.note(watch.Changed())
			return d.saveAll()
		case <-pause.C:
		}
		select {
		case <-ctx.Done():
			d.note(watch.Changed())
			return d.saveAll()
		case <-watch.C():
		case <-d.retry():
		}
		began := time.Now()
		d.note(watch.Changed())
		if err := d.saveAll(); err != nil {
			s.opts.Log.Error("snapshots not saved, trying again", "error", err)
		}
		// Saving takes at most a twentieth of the time, however large the feeds are.
		pause.Reset(max(s.opts.SaveInterval, 20*time.Since(began)))
	}
}

type saver struct {
	set   *Set
	dirty map[ID]bool
}

func (d *saver) note(ids []ID) {
	for _, id := range ids {
		d.dirty[id] = true
	}
}

func (d *saver) saveAll() error {
	var errs []error
	for id := range d.dirty {
		if err := d.set.saveOne(id); err != nil {
			errs = append(errs, err)
			continue
		}
		delete(d.dirty, id)
	}
	return errors.Join(append(errs, d.set.opts.FS.SyncDir(d.set.dir))...)
}

// retry fires when something is left to be saved.
func (d *saver) retry() <-chan time.Time {
	if len(d.dirty) == 0 {
		return nil
	}
	return time.After(time.Second)
}
