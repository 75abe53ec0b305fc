package feed

import (
	"errors"
	"io"
	"os"
)

// FS is everything that a Set does to a disk, so that a simulation can replace the disk whole. What a method returned
// from is seen by the next call; what survives a power cut is what Sync and SyncDir returned from.
type FS interface {
	// MkdirAll makes a folder and those above it, if they are not there.
	MkdirAll(dir string) error
	// ReadDir returns the names of a folder's files.
	ReadDir(dir string) ([]string, error)
	// Open opens a file for reading; a file that is not there is fs.ErrNotExist.
	Open(path string) (io.ReadCloser, error)
	// Create opens a file for writing and empties it.
	Create(path string) (File, error)
	// Rename replaces a file of the same folder by another in one step.
	Rename(from, to string) error
	// Remove takes a file away; one that is not there is fs.ErrNotExist.
	Remove(path string) error
	// SyncDir makes the names in a folder survive a power cut.
	SyncDir(dir string) error
}

// File is a file that is being written.
type File interface {
	io.Writer
	// Sync makes what was written survive a power cut.
	Sync() error
	Close() error
}

// osFS is the operating system's file system.
type osFS struct{}

func (osFS) MkdirAll(dir string) error               { return os.MkdirAll(dir, 0o700) }
func (osFS) Open(path string) (io.ReadCloser, error) { return os.Open(path) }
func (osFS) Rename(from, to string) error            { return os.Rename(from, to) }
func (osFS) Remove(path string) error                { return os.Remove(path) }

func (osFS) ReadDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (osFS) Create(path string) (File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
}

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
