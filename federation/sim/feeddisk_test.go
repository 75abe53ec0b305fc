package sim

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"syscall"

	"pentad.dev/pentad/federation/feed"
)

// feedDisk is the part of a disk that holds feeds. Names are as fragile as contents: what was renamed, made or removed
// survives a power cut from when its folder was synced; before that, of each folder's changes the first few do.
type feedDisk struct {
	d    *disk
	life int
}

// named is a change of a folder that was not synced: the files that had these names before, nil where none had.
type named struct {
	dir    string
	before map[string]*file
}

var _ feed.FS = feedDisk{}

// feeds is for one life of a process.
func (d *disk) feeds() feed.FS { return feedDisk{d, d.now()} }

// placed is a path as the disk has it.
func placed(path string) (dir, name, in string) {
	dir, name = filepath.Split(path)
	dir = filepath.Clean(dir)
	return dir, name, key(dir, name)
}

// change makes a change of names, if the process still lives. It waits while the disk hangs.
func (f feedDisk) change(dir string, names []string, do func() error) error {
	if err := f.d.takes(f.life, 0); err != nil {
		return err
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.life != f.life {
		return errPowerCut
	}
	before := map[string]*file{}
	for _, name := range names {
		before[name] = f.d.files[name]
	}
	err := do()
	if err == nil {
		f.d.names = append(f.d.names, named{dir, before})
	}
	return err
}

func (f feedDisk) MkdirAll(string) error                { return nil }
func (f feedDisk) ReadDir(dir string) ([]string, error) { return f.d.ListDir(filepath.Clean(dir)) }

func (f feedDisk) Open(path string) (io.ReadCloser, error) {
	_, name, in := placed(path)
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	is := f.d.files[in]
	if is == nil {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(slices.Clone(is.now))), nil
}

func (f feedDisk) Create(path string) (feed.File, error) {
	dir, name, in := placed(path)
	fresh := &file{entry: true}
	err := f.change(dir, []string{in}, func() error {
		if f.d.full {
			f.d.refused++
			return syscall.ENOSPC
		}
		f.d.files[in] = fresh
		return nil
	})
	return &appended{handle: handle{f.d, fresh, name, f.life}}, err
}

func (f feedDisk) Rename(from, to string) error {
	dir, name, source := placed(from)
	_, _, target := placed(to)
	return f.change(dir, []string{source, target}, func() error {
		if f.d.files[source] == nil {
			return fmt.Errorf("%s: %w", name, fs.ErrNotExist)
		}
		f.d.files[target] = f.d.files[source]
		delete(f.d.files, source)
		return nil
	})
}

func (f feedDisk) Remove(path string) error {
	dir, name, in := placed(path)
	return f.change(dir, []string{in}, func() error {
		if f.d.files[in] == nil {
			return fmt.Errorf("%s: %w", name, fs.ErrNotExist)
		}
		delete(f.d.files, in)
		return nil
	})
}

func (f feedDisk) SyncDir(dir string) error {
	f.d.mu.Lock()
	long := f.d.slow
	f.d.mu.Unlock()
	if err := f.d.takes(f.life, long); err != nil {
		return err
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	switch {
	case f.d.life != f.life:
		return errPowerCut
	case f.d.fails:
		return errBadDisk
	}
	dir = filepath.Clean(dir)
	f.d.names = slices.DeleteFunc(f.d.names, func(n named) bool { return n.dir == dir })
	return nil
}

// appended is a file that is written from its beginning to its end.
type appended struct {
	handle
	size int64
}

func (a *appended) Write(p []byte) (int, error) {
	n, err := a.WriteAt(p, a.size)
	a.size += int64(n)
	return n, err
}
