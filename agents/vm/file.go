package vm

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

const (
	// settled is how long a file must have rested before it is read, where the system cannot say whether somebody writes.
	settled = 30 * time.Millisecond
	// defaultPatience is how long a file must have rested if somebody keeps it open for writing.
	defaultPatience = 2 * time.Second
	// maxSize is far above any registry, and below what would hurt.
	maxSize = 64 << 20
)

// errUnsettled says that somebody may be writing the file just now: look again soon.
var errUnsettled = errors.New("being written")

// file is the registry file. Editors and tools replace a file or write into it; a reader must never take a half-written
// one for the whole, even where the half is good YAML.
type file struct {
	path     string
	patience time.Duration
	// last is how the file looked at the last look, and since when it has looked so.
	last  os.FileInfo
	since time.Time
	// careless reads without waiting for writers. Only tests set it.
	careless bool
}

// changed says whether the file looks different from the last look; it is how a change is found without an event.
func (f *file) changed() bool {
	info, err := os.Stat(f.path)
	if err != nil || f.last == nil {
		return (err == nil) != (f.last != nil)
	}
	return !same(info, f.last)
}

func same(a, b os.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// read returns the whole content. errUnsettled: not now.
func (f *file) read(now time.Time) ([]byte, error) {
	opened, err := os.Open(f.path)
	if err != nil {
		f.last = nil
		return nil, missing(f.path, err)
	}
	defer opened.Close()
	release, held, busy := lease(opened)
	defer release()
	info, err := opened.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("registry file %s is no file: name a YAML or JSON file", f.path)
	}
	if !same(info, f.last) {
		f.last, f.since = info, now
	}
	rested := now.Sub(f.since)
	if !held && !f.careless && (busy && rested < f.patience || rested < settled) {
		return nil, errUnsettled
	}
	if info.Size() > maxSize {
		return nil, fmt.Errorf("registry file %s has %d bytes: at most %d are read", f.path, info.Size(), maxSize)
	}
	data, err := io.ReadAll(io.LimitReader(opened, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("registry file: %w", err)
	}
	if int64(len(data)) != info.Size() && !f.careless {
		return nil, errUnsettled
	}
	return data, nil
}

// missing says what to do about a file that cannot be opened. What was read before stays in force.
func missing(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("registry file %s is not there: write it, with services: [] for no services; "+
			"until then what was last read stays in force", path)
	}
	return fmt.Errorf("registry file: %w", err)
}
