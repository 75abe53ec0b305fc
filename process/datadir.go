package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// dataVersion is the layout of data folders that this binary reads and writes.
const dataVersion = "1"

// DataDir is a data folder that this process holds alone.
type DataDir struct {
	Path string
	lock *os.File
}

// OpenDataDir takes the folder for this process, and makes it when it is not there. owner says whose it is ("server hz-a"):
// a folder of another owner or another version, or one in use, is a UsageError and is left as it was.
func OpenDataDir(path, owner string) (*DataDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, &UsageError{err}
	}
	lock, err := os.OpenFile(filepath.Join(path, "LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, &UsageError{err}
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, Usagef("data folder %s is in use by another process: stop it, or name another folder", path)
		}
		return nil, fmt.Errorf("lock data folder %s: %w", path, err)
	}
	d := &DataDir{Path: path, lock: lock}
	if err := d.claim(owner); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func (d *DataDir) claim(owner string) error {
	name := filepath.Join(d.Path, "VERSION")
	want := dataVersion + " " + owner
	have, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return os.WriteFile(name, []byte(want+"\n"), 0o600)
	}
	if err != nil {
		return &UsageError{err}
	}
	version, whose, _ := strings.Cut(strings.TrimSpace(string(have)), " ")
	switch {
	case version != dataVersion:
		return Usagef("data folder %s has version %q, this binary reads %q: use the binary that wrote it, or another folder", d.Path, version, dataVersion)
	case whose != owner:
		return Usagef("data folder %s belongs to %q, not to %q: name another folder", d.Path, whose, owner)
	}
	return nil
}

// Close gives the folder back.
func (d *DataDir) Close() { _ = d.lock.Close() }
