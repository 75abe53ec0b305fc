package sim

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/raft-wal/types"
)

// Claim implements consensus.FS.
func (d *disk) Claim(dir string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.claimed[dir] {
		return nil, errors.New("another process uses it")
	}
	d.claimed[dir] = true
	for name, f := range d.files {
		f.entry = f.entry || strings.HasPrefix(name, dir+"\x00")
	}
	return claim{d, dir, d.life}, nil
}

type claim struct {
	d    *disk
	dir  string
	life int
}

func (c claim) Close() error {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	if c.d.life == c.life {
		c.d.claimed[c.dir] = false
	}
	return nil
}

func (d *disk) ListDir(dir string) (names []string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range d.files {
		if in, base, _ := strings.Cut(name, "\x00"); in == dir {
			names = append(names, base)
		}
	}
	slices.Sort(names)
	return names, nil
}

func (d *disk) Create(dir, name string, size uint64) (types.WritableFile, error) {
	if err := d.takes(d.now(), 0); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[key(dir, name)] != nil {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrExist)
	}
	if d.full {
		d.refused++
		return nil, syscall.ENOSPC
	}
	f := &file{now: make([]byte, size), durable: make([]byte, size)}
	d.files[key(dir, name)] = f
	return &handle{d, f, name, d.life}, nil
}

func (d *disk) now() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.life
}

func (d *disk) Delete(dir, name string) error {
	if err := d.takes(d.now(), 0); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[key(dir, name)] == nil {
		return fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	delete(d.files, key(dir, name))
	return nil
}

func (d *disk) OpenReader(dir, name string) (types.ReadableFile, error) { return d.open(dir, name) }
func (d *disk) OpenWriter(dir, name string) (types.WritableFile, error) { return d.open(dir, name) }

func (d *disk) open(dir, name string) (*handle, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.files[key(dir, name)]
	if f == nil {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return &handle{d, f, name, d.life}, nil
}

type handle struct {
	d    *disk
	f    *file
	name string
	life int
}

func (h *handle) Close() error { return nil }

func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if off >= int64(len(h.f.now)) {
		return 0, io.EOF
	}
	n := copy(p, h.f.now[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *handle) WriteAt(p []byte, off int64) (int, error) {
	if err := h.d.takes(h.life, 0); err != nil {
		return 0, err
	}
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.life != h.d.life {
		return 0, errPowerCut
	}
	n := len(p)
	var err error
	// What was allocated when the file was made stays writable.
	if h.d.full && int(off)+n > len(h.f.now) {
		n, err = n/2, syscall.ENOSPC
		h.d.refused++
	}
	h.f.now = put(h.f.now, off, p[:n])
	h.f.pending = append(h.f.pending, written{off, slices.Clone(p[:n])})
	return n, err
}

var errBadDisk = errors.New("input/output error")

func (h *handle) Sync() error {
	h.d.mu.Lock()
	long := h.d.slow
	h.d.mu.Unlock()
	if err := h.d.takes(h.life, long); err != nil {
		return err
	}
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	h.d.syncs++
	switch {
	case h.life != h.d.life:
		return errPowerCut
	case h.d.fails:
		return errBadDisk
	case h.d.early != nil && h.d.early(h.name):
		time.AfterFunc(earlyBy, h.persist)
		return nil
	}
	h.persisted()
	return nil
}

// earlyBy is how long a sync that came back early goes on.
const earlyBy = 5 * time.Second

func (h *handle) persist() {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.life == h.d.life {
		h.persisted()
	}
}

func (h *handle) persisted() {
	for _, w := range h.f.pending {
		h.f.durable = put(h.f.durable, w.off, w.data)
	}
	h.f.pending, h.f.entry = nil, true
}
