package consensus

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"

	"github.com/hashicorp/raft-wal/types"
)

// memFS is a file system in memory that forgets at a power cut what was not synced, in whole or in torn pieces. Its
// hook sees every operation and may fail it, or hang.
type memFS struct {
	mu      sync.Mutex
	files   map[string]*memFile
	claimed bool
	life    int // counts power cuts; a handle of an earlier life is dead
	steps   int // operations that change something
	room    int // bytes that files may take in all; 0: any number
	hook    func(op, name string) error
}

// memFile is one file: what a reader sees, what survives a power cut, and the writes between the two.
type memFile struct {
	now, durable []byte
	pending      []memWrite
	entry        bool // the folder's entry survives a power cut
}

type memWrite struct {
	off  int64
	data []byte
}

var errPowerCut = errors.New("power was cut")

func newMemFS() *memFS { return &memFS{files: map[string]*memFile{}} }

func (m *memFS) setHook(h func(op, name string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hook = h
}

// step runs the hook outside of the lock, so that it may hang, and counts.
func (m *memFS) step(op, name string) error {
	m.mu.Lock()
	h := m.hook
	m.steps++
	m.mu.Unlock()
	if h != nil {
		return h(op, name)
	}
	return nil
}

// setRoom says how many bytes files may take beyond what they take now; below 0: any number.
func (m *memFS) setRoom(more int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.room = 0
	if more >= 0 {
		m.room = m.taken() + more
	}
}

// taken is how many bytes the files take; mu is held.
func (m *memFS) taken() (sum int) {
	for _, f := range m.files {
		sum += len(f.now)
	}
	return sum
}

// grow takes room for more bytes, as much as there is; mu is held.
func (m *memFS) grow(more int) (int, error) {
	if m.room == 0 || more <= 0 {
		return more, nil
	}
	if left := max(0, m.room-m.taken()); more > left {
		return left, syscall.ENOSPC
	}
	return more, nil
}

// powerCut makes every handle dead and loses what was not synced. With a source of randomness, of each unsynced write
// some sectors survive; without, none.
func (m *memFS) powerCut(rnd *rand.Rand) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.life++
	m.claimed = false
	m.hook = nil
	for _, name := range slices.Sorted(maps.Keys(m.files)) {
		f := m.files[name]
		if !f.entry && (rnd == nil || rnd.IntN(2) == 0) {
			delete(m.files, name)
			continue
		}
		content := slices.Clone(f.durable)
		for _, w := range f.pending {
			for at := 0; rnd != nil && at < len(w.data); {
				// Sectors of 512 bytes by their place in the file; what one write changes of a sector survives or does not.
				end := min(at+512-int((w.off+int64(at))%512), len(w.data))
				if rnd.IntN(2) == 0 {
					content = put(content, w.off+int64(at), w.data[at:end])
				}
				at = end
			}
		}
		f.now, f.durable, f.pending, f.entry = content, slices.Clone(content), nil, true
	}
}

// clone returns an independent copy, as of now.
func (m *memFS) clone() *memFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := newMemFS()
	for name, f := range m.files {
		c.files[name] = &memFile{slices.Clone(f.now), slices.Clone(f.durable), slices.Clone(f.pending), f.entry}
	}
	return c
}

func put(b []byte, off int64, p []byte) []byte {
	if end := int(off) + len(p); end > len(b) {
		b = append(b, make([]byte, end-len(b))...)
	}
	copy(b[off:], p)
	return b
}

func (m *memFS) Claim(string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.claimed {
		return nil, errors.New("another process uses it")
	}
	m.claimed = true
	for _, f := range m.files {
		f.entry = true
	}
	return memClaim{m, m.life}, nil
}

type memClaim struct {
	m    *memFS
	life int
}

func (c memClaim) Close() error {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	if c.m.life == c.life {
		c.m.claimed = false
	}
	return nil
}

func (m *memFS) ListDir(string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.files)), nil
}

func (m *memFS) Create(_, name string, size uint64) (types.WritableFile, error) {
	if err := m.step("create", name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[name] != nil {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrExist)
	}
	got, err := m.grow(int(size))
	f := &memFile{now: make([]byte, got), durable: make([]byte, got)}
	m.files[name] = f // as on a real disk: it is there, without the room
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &memHandle{m, f, name, m.life}, nil
}

func (m *memFS) Delete(_, name string) error {
	if err := m.step("delete", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[name] == nil {
		return fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	delete(m.files, name)
	return nil
}

func (m *memFS) OpenReader(_, name string) (types.ReadableFile, error) {
	return m.open(name)
}

func (m *memFS) OpenWriter(_, name string) (types.WritableFile, error) {
	return m.open(name)
}

func (m *memFS) open(name string) (*memHandle, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.files[name]
	if f == nil {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return &memHandle{m, f, name, m.life}, nil
}

type memHandle struct {
	m    *memFS
	f    *memFile
	name string
	life int
}

func (h *memHandle) Close() error { return nil }

func (h *memHandle) ReadAt(p []byte, off int64) (int, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if off >= int64(len(h.f.now)) {
		return 0, io.EOF
	}
	n := copy(p, h.f.now[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *memHandle) WriteAt(p []byte, off int64) (int, error) {
	err := h.m.step("write", h.name)
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if h.life != h.m.life {
		return 0, errPowerCut
	}
	n := len(p)
	if err != nil {
		n /= 2 // a write that fails may have been done in part
	} else if end := int(off) + n; end > len(h.f.now) {
		var got int
		if got, err = h.m.grow(end - len(h.f.now)); err != nil {
			n = max(0, len(h.f.now)+got-int(off))
		}
	}
	h.f.now = put(h.f.now, off, p[:n])
	h.f.pending = append(h.f.pending, memWrite{off, slices.Clone(p[:n])})
	return n, err
}

func (h *memHandle) Sync() error {
	if err := h.m.step("sync", h.name); err != nil {
		return err
	}
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if h.life != h.m.life {
		return errPowerCut
	}
	for _, w := range h.f.pending {
		h.f.durable = put(h.f.durable, w.off, w.data)
	}
	h.f.pending, h.f.entry = nil, true
	return nil
}
