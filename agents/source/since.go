package source

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// Since is the book of when a source began to export each of its services: it survives restarts, because on an
// unmergeable conflict between clusters the oldest export wins (KEP-1645), and a restart must not change the winner. It
// belongs to one goroutine.
type Since struct {
	path  string
	known map[string]int64 // Unix milliseconds
	dirty bool
}

// ErrDamaged is returned for a book that cannot be read; the caller may set it aside and begin another.
var ErrDamaged = errors.New("damaged")

// OpenSince reads the book at path, which need not exist yet; with path "" the book is kept in memory only.
func OpenSince(path string) (*Since, error) {
	s := &Since{path: path, known: map[string]int64{}}
	if path == "" {
		return s, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("book of exports: %w", err)
	}
	if err := json.Unmarshal(data, &s.known); err != nil {
		return nil, fmt.Errorf("book of exports %s: %w: %w", path, ErrDamaged, err)
	}
	return s, nil
}

// UnixMs is when the service's export began: now, if the book does not know it.
func (s *Since) UnixMs(service string, now time.Time) int64 {
	if ms, ok := s.known[service]; ok {
		return ms
	}
	s.known[service], s.dirty = now.UnixMilli(), true
	return s.known[service]
}

// Forget ends an export: the service begins anew if it comes back.
func (s *Since) Forget(service string) {
	if _, ok := s.known[service]; ok {
		delete(s.known, service)
		s.dirty = true
	}
}

// Save writes the book if it changed. Call it before what it says is published.
func (s *Since) Save() error {
	if !s.dirty || s.path == "" {
		s.dirty = false
		return nil
	}
	data, err := json.MarshalIndent(s.known, "", " ")
	if err != nil {
		return fmt.Errorf("book of exports %s: %w", s.path, err)
	}
	if err := WriteFile(s.path, data); err != nil {
		return fmt.Errorf("book of exports: %w", err)
	}
	s.dirty = false
	return nil
}
