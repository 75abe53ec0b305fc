package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// snapshotSuffix marks the snapshots in a set's directory; the rest of the name is the feed's, escaped.
const snapshotSuffix = ".feed"

// load reads the snapshots of the set's directory. What cannot be read in full is set aside.
func (s *Set) load() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("feeds: %w", err)
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("feeds: %w", err)
	}
	for _, entry := range entries {
		path := filepath.Join(s.dir, entry.Name())
		name, ok := strings.CutSuffix(entry.Name(), snapshotSuffix)
		if !ok {
			if strings.HasSuffix(entry.Name(), snapshotSuffix+".new") {
				os.Remove(path) // a save that was cut off
			}
			continue
		}
		l, err := s.read(path, name)
		switch {
		case errors.Is(err, ErrCorrupt):
			aside := path + ".corrupt"
			if moved := os.Rename(path, aside); moved != nil {
				return fmt.Errorf("feeds: snapshot %s: %w; set aside: %w", path, err, moved)
			}
			s.opts.Log.Error("snapshot set aside, the feed starts empty", "path", aside, "error", err)
		case err != nil:
			return fmt.Errorf("feeds: snapshot %s: %w", path, err)
		default:
			l.observer = s.observe
			s.logs[l.id], s.saved[l.id] = l, l.version()
		}
	}
	return nil
}

func (s *Set) read(path, name string) (*Log, error) {
	f, err := os.Open(path)
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

// save replaces the feed's snapshot in one step: a crash leaves the old one or the new one. s.saving is held.
func (s *Set) save(l *Log) error {
	if l.Position().IsZero() {
		return nil
	}
	if s.saved[l.id] == l.version() {
		return nil
	}
	var v version
	path := filepath.Join(s.dir, url.PathEscape(string(l.id))+snapshotSuffix)
	err := replaceFile(path, func(w io.Writer) (err error) {
		v, err = l.writeSnapshot(w)
		return err
	})
	if err != nil {
		return fmt.Errorf("save feed %s: %w", l.id, err)
	}
	s.saved[l.id] = v
	return nil
}

// replaceFile writes beside path, syncs and renames; the directory is the caller's to sync.
func replaceFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(path+".new"))
		}
	}()
	if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Save writes the feed's snapshot now, as a writer does with an incarnation that it is about to use.
func (s *Set) Save(id ID) error {
	if s.dir == "" {
		return nil
	}
	return errors.Join(s.saveOne(id), syncDir(s.dir))
}

func (s *Set) saveOne(id ID) error {
	s.mu.RLock()
	l, volatile := s.logs[id], s.volatile[id]
	s.mu.RUnlock()
	if l == nil || volatile {
		return nil
	}
	s.saving.Lock()
	defer s.saving.Unlock()
	return s.save(l)
}

// Run saves the snapshots of what changed until ctx ends, and all that is not saved yet then. A failed save is logged
// and tried again; the error of the last one is returned.
func (s *Set) Run(ctx context.Context) error {
	watch := s.Watch()
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
	return errors.Join(append(errs, syncDir(d.set.dir))...)
}

// retry fires when something is left to be saved.
func (d *saver) retry() <-chan time.Time {
	if len(d.dirty) == 0 {
		return nil
	}
	return time.After(time.Second)
}
