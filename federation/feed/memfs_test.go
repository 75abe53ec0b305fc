package feed

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"sync"
	"testing"
)

// memFS is a disk in memory of which a power cut takes what was not synced.
type memFS struct {
	mu    sync.Mutex
	names map[string]*memFile // as programs see them
	hard  map[string]*memFile // as a power cut leaves them
	full  bool
}

type memFile struct {
	fs           *memFS
	data, synced []byte
}

func newMemFS() *memFS { return &memFS{names: map[string]*memFile{}, hard: map[string]*memFile{}} }

// afterPowerCut is the disk as a power cut now would leave it.
func (m *memFS) afterPowerCut() *memFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	cut := newMemFS()
	for name, f := range m.hard {
		cut.names[name] = &memFile{fs: cut, data: bytes.Clone(f.synced), synced: bytes.Clone(f.synced)}
	}
	cut.hard = maps.Clone(cut.names)
	return cut
}

func (m *memFS) MkdirAll(string) error { return nil }

func (m *memFS) ReadDir(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for name := range m.names {
		if path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	return names, nil
}

func (m *memFS) Open(name string) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.names[name]
	if f == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return io.NopCloser(bytes.NewReader(bytes.Clone(f.data))), nil
}

func (m *memFS) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		return nil, fmt.Errorf("create %s: no space", name)
	}
	m.names[name] = &memFile{fs: m}
	return m.names[name], nil
}

func (m *memFS) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.names[to] = m.names[from]
	delete(m.names, from)
	return nil
}

func (m *memFS) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.names[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	delete(m.names, name)
	return nil
}

func (m *memFS) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.hard, func(name string, _ *memFile) bool { return path.Dir(name) == dir })
	for name, f := range m.names {
		if path.Dir(name) == dir {
			m.hard[name] = f
		}
	}
	return nil
}

func (f *memFile) Write(b []byte) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.data = append(f.data, b...)
	return len(b), nil
}

func (f *memFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.synced = bytes.Clone(f.data)
	return nil
}

func (f *memFile) Close() error { return nil }

// TestPowerCutLeavesWhatWasSaved cuts the power after each change of the disk: what Save and Remove returned from is
// there, and what is there is whole.
func TestPowerCutLeavesWhatWasSaved(t *testing.T) {
	disk := newMemFS()
	start := func(d *memFS) *Set {
		t.Helper()
		s, err := OpenSet("d", Options{FS: d})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := start(disk)
	l := s.Log("c/x")
	for i := range 5 {
		l.Begin(uint64(i+1), []Change{change("a", fmt.Sprint(i))})
		if err := s.Save("c/x"); err != nil {
			t.Fatal(err)
		}
		if !equal(l, start(disk.afterPowerCut())) {
			t.Fatalf("save %d did not survive", i)
		}
	}
	disk.full = true
	was := l.Position()
	l.Begin(9, nil)
	if err := s.Save("c/x"); err == nil {
		t.Error("a full disk is not reported")
	}
	if c, ok := start(disk.afterPowerCut()).Get("c/x"); !ok || c.Position() != was {
		t.Error("a full disk takes what was there")
	}
	if err := s.Remove("c/x"); err == nil {
		t.Error("a full disk lets a removal through")
	}
	disk.full = false
	if err := s.Remove("c/x"); err != nil {
		t.Fatal(err)
	}
	after := start(disk.afterPowerCut())
	if len(after.IDs()) != 0 || after.ended("c/x") != (Position{9, 1}) {
		t.Errorf("after a removal: %v, ended %s", after.IDs(), after.ended("c/x"))
	}
}
