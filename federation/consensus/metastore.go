package consensus

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/hashicorp/raft-wal/types"
)

// metaStore holds what must survive besides the entries: the list of the log's segments, the term and the vote. It is
// a types.MetaStore.
//
// There is no rename in the file system, so it keeps two copies and writes one after the other, each synced before the
// other is touched: at any instant one of them is whole. A commit is acknowledged when both hold it, so one copy that
// rots later loses nothing, and an old copy can never be taken for the newest: the other one is newer.
type metaStore struct {
	fs  types.VFS
	dir string

	mu    lock
	gen   uint64
	now   metaContent
	files [2]types.WritableFile
	whole [2]bool // which copies are known to be valid
}

type metaContent struct {
	State  types.PersistentState
	Stable map[string][]byte
}

const (
	metaMagic = "PNTDMET1"
	metaHead  = len(metaMagic) + 8 + 8 + 8 // magic, generation, length, checksum of generation, length and content
	// metaSize is allocated at once so that a vote does not need room on a full disk.
	metaSize = 64 << 10
	metaMax  = 16 << 20
)

var metaNames = [2]string{"meta-a", "meta-b"}

// createMetaStore makes the files in a folder that has none.
func createMetaStore(vfs types.VFS, dir string) (*metaStore, error) {
	m := &metaStore{fs: vfs, dir: dir, now: metaContent{Stable: map[string][]byte{}}}
	for i, name := range metaNames {
		f, err := vfs.Create(dir, name, metaSize)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", name, err), m.Close())
		}
		m.files[i] = f
	}
	if err := m.commit(m.now); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// openMetaStore reads the newest whole copy and mends the other one.
func openMetaStore(vfs types.VFS, dir string) (*metaStore, error) {
	m := &metaStore{fs: vfs, dir: dir}
	var found [2]error
	for i, name := range metaNames {
		gen, content, err := readMeta(vfs, dir, name)
		found[i] = err
		if err == nil && gen > m.gen {
			m.gen, m.now = gen, content
		}
	}
	if m.gen == 0 {
		return nil, fmt.Errorf("both copies of the term, the vote and the segment list are damaged: %w",
			errors.Join(found[:]...))
	}
	for i, name := range metaNames {
		f, err := vfs.OpenWriter(dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			f, err = vfs.Create(dir, name, metaSize)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", name, err), m.Close())
		}
		m.files[i] = f
		m.whole[i] = found[i] == nil
	}
	// Both copies at one generation again, before anything is promised on top of it. The damaged one is written first.
	if err := m.commit(m.now); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func readMeta(vfs types.VFS, dir, name string) (gen uint64, c metaContent, err error) {
	f, err := vfs.OpenReader(dir, name)
	if err != nil {
		return 0, c, fmt.Errorf("%s: %w", name, err)
	}
	defer f.Close()
	bad := func(format string, args ...any) (uint64, metaContent, error) {
		return 0, metaContent{}, fmt.Errorf("%s: %s", name, fmt.Sprintf(format, args...))
	}
	head := make([]byte, metaHead)
	if err := readFull(f, head, 0); err != nil {
		return bad("header: %v", err)
	}
	if string(head[:8]) != metaMagic {
		return bad("starts with %q, not %q", head[:8], metaMagic)
	}
	gen = binary.BigEndian.Uint64(head[8:])
	size, sum := binary.BigEndian.Uint64(head[16:]), binary.BigEndian.Uint64(head[24:])
	if size > metaMax {
		return bad("content of %d bytes", size)
	}
	body := make([]byte, size)
	if err := readFull(f, body, int64(metaHead)); err != nil {
		return bad("content: %v", err)
	}
	if metaSum(head, body) != sum {
		return bad("checksum does not match")
	}
	if err := json.Unmarshal(body, &c); err != nil {
		return bad("content: %v", err)
	}
	if c.Stable == nil {
		c.Stable = map[string][]byte{}
	}
	return gen, c, nil
}

func metaSum(head, body []byte) uint64 {
	d := xxhash.New()
	d.Write(head[:24])
	d.Write(body)
	return d.Sum64()
}

// readFull fills p from r at an offset; a reader may report the end of the file along with the last bytes.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// commit makes c durable. mu is held, or the store is not shared yet. After an error the newest generation on disk may
// be the old content or the new one.
func (m *metaStore) commit(c metaContent) error {
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if len(body) > metaMax {
		return fmt.Errorf("meta store: %d bytes are too many", len(body))
	}
	// The generation is used up even if this fails: two contents must never share one.
	m.gen++
	buf := make([]byte, metaHead, metaHead+len(body))
	copy(buf, metaMagic)
	binary.BigEndian.PutUint64(buf[8:], m.gen)
	binary.BigEndian.PutUint64(buf[16:], uint64(len(body)))
	binary.BigEndian.PutUint64(buf[24:], metaSum(buf, body))
	buf = append(buf, body...)
	order := []int{0, 1}
	if m.whole[0] && !m.whole[1] {
		order = []int{1, 0} // never touch the only whole copy
	}
	for _, i := range order {
		m.whole[i] = false
		if _, err := m.files[i].WriteAt(buf, 0); err != nil {
			return fmt.Errorf("%s: %w", metaNames[i], err)
		}
		if err := m.files[i].Sync(); err != nil {
			return fmt.Errorf("%s: %w", metaNames[i], err)
		}
		m.whole[i] = true
	}
	m.now = c
	return nil
}

// Load implements types.MetaStore.
func (m *metaStore) Load(string) (types.PersistentState, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.now.State
	s.Segments = slices.Clone(s.Segments)
	return s, nil
}

// CommitState implements types.MetaStore.
func (m *metaStore) CommitState(s types.PersistentState) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.commit(metaContent{State: s, Stable: m.now.Stable})
}

// GetStable implements types.MetaStore.
func (m *metaStore) GetStable(key []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.now.Stable[string(key)]), nil
}

// SetStable implements types.MetaStore.
func (m *metaStore) SetStable(key, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.now.Stable[string(key)]; ok && value != nil && string(old) == string(value) {
		return nil // raft writes the term again at each start
	}
	stable := make(map[string][]byte, len(m.now.Stable)+1)
	for k, v := range m.now.Stable {
		stable[k] = v
	}
	if value == nil {
		delete(stable, string(key))
	} else {
		stable[string(key)] = slices.Clone(value)
	}
	return m.commit(metaContent{State: m.now.State, Stable: stable})
}

// Close implements io.Closer.
func (m *metaStore) Close() error {
	var errs []error
	for i, f := range m.files {
		if f != nil {
			errs = append(errs, f.Close())
			m.files[i] = nil
		}
	}
	return errors.Join(errs...)
}

// sharedMeta is the store as a WAL sees it: the WAL closes its meta store with itself, ours outlives a WAL that is
// opened again.
type sharedMeta struct {
	*metaStore
	log *logStore
}

// CommitState implements types.MetaStore. What it says of a segment is true on disk only once that is synced.
func (m sharedMeta) CommitState(s types.PersistentState) error {
	if err := m.log.settle(); err != nil {
		return err
	}
	return m.metaStore.CommitState(s)
}

// Close implements io.Closer.
func (sharedMeta) Close() error { return nil }
