package consensus

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/types"
)

// snapshots keeps the state machine's snapshots, one file each, over the node's file system. It is a
// raft.SnapshotStore.
//
// A file is a header of fixed size, the content, and what raft says of it. The header is written last, after a sync of
// all else, and synced itself: a file without a valid header was never finished.
type snapshots struct {
	fs     types.VFS
	dir    string
	logger hclog.Logger
	watch  func(what string) (done func()) // nil in tests: see disk.watch

	// settling is held while a snapshot begins or ends to be there, and while old ones are deleted: one may be taken while
	// another one is installed, and who deletes must not take either for one that was never finished.
	settling lock

	mu   sync.Mutex
	open map[string]bool // being written
}

const (
	snapSuffix = ".snap"
	snapMagic  = "PNTDSNP1"
	// magic, size of the content, size of the meta, checksum of the content, of the meta, of this header.
	snapHead = len(snapMagic) + 5*8
	// snapRetain is how many are kept: the one before the last is what a damaged last one falls back to.
	snapRetain = 2
	snapMeta   = 1 << 20
)

// snapshotName sorts by index, then by term, then by which came later.
func snapshotName(index, term uint64, n int) string {
	return fmt.Sprintf("%020d-%020d-%06d%s", index, term, n, snapSuffix)
}

// Create implements raft.SnapshotStore.
func (s *snapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	s.settling.Lock()
	defer s.settling.Unlock()
	// The same state may come twice: a leader sends its snapshot again when the answer to the first was lost.
	var name string
	var f types.WritableFile
	for n, err := 0, fs.ErrExist; errors.Is(err, fs.ErrExist); n++ {
		name = snapshotName(index, term, n)
		if f, err = s.fs.Create(s.dir, name, 0); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("snapshot %s: %w", name, err)
		}
	}
	s.mark(name, true)
	k := &sink{store: s, sum: xxhash.New(), meta: raft.SnapshotMeta{
		Version: version, ID: name, Index: index, Term: term,
		Configuration: configuration, ConfigurationIndex: configurationIndex,
	}}
	k.file = &drip{WritableFile: f, watch: s.watch}
	k.buf = bufio.NewWriterSize(io.NewOffsetWriter(k.file, int64(snapHead)), 256<<10)
	return k, nil
}

// List implements raft.SnapshotStore: whole ones only, the newest first.
func (s *snapshots) List() ([]*raft.SnapshotMeta, error) {
	names, err := s.fs.ListDir(s.dir)
	if err != nil {
		return nil, err
	}
	var found []*raft.SnapshotMeta
	for _, name := range names {
		if !strings.HasSuffix(name, snapSuffix) || s.writing(name) {
			continue
		}
		_, meta, err := s.read(name)
		if err != nil {
			s.logger.Warn("snapshot is not usable", "name", name, "error", err)
			continue
		}
		found = append(found, meta)
	}
	slices.SortFunc(found, func(a, b *raft.SnapshotMeta) int { return strings.Compare(b.ID, a.ID) })
	return found, nil
}

// Open implements raft.SnapshotStore. The content's checksum is compared before any of it is handed out.
func (s *snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	head, meta, err := s.read(id)
	if err != nil {
		return nil, nil, err
	}
	f, err := s.fs.OpenReader(s.dir, id)
	if err != nil {
		return nil, nil, err
	}
	sum := xxhash.New()
	content := io.NewSectionReader(f, int64(snapHead), meta.Size)
	if n, err := io.Copy(sum, content); err != nil || n != meta.Size || sum.Sum64() != head.contentSum {
		return nil, nil, errors.Join(fmt.Errorf("snapshot %s: content is damaged", id), err, f.Close())
	}
	if _, err := content.Seek(0, io.SeekStart); err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return meta, &openSnapshot{content, f}, nil
}

// openSnapshot is the content of a snapshot. It can be read again from its beginning, also once the file was reaped.
type openSnapshot struct {
	*io.SectionReader
	file io.Closer
}

// Close implements io.Closer.
func (o *openSnapshot) Close() error { return o.file.Close() }

type snapshotHead struct{ size, metaSize, contentSum, metaSum uint64 }

func (h snapshotHead) encode() []byte {
	b := []byte(snapMagic)
	for _, v := range []uint64{h.size, h.metaSize, h.contentSum, h.metaSum} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return binary.BigEndian.AppendUint64(b, xxhash.Sum64(b))
}

func (s *snapshots) read(name string) (h snapshotHead, meta *raft.SnapshotMeta, err error) {
	f, err := s.fs.OpenReader(s.dir, name)
	if err != nil {
		return h, nil, fmt.Errorf("snapshot %s: %w", name, err)
	}
	defer f.Close()
	b := make([]byte, snapHead)
	if err := readFull(f, b, 0); err != nil {
		return h, nil, fmt.Errorf("snapshot %s: header: %w", name, err)
	}
	sum := len(b) - 8
	if string(b[:8]) != snapMagic || xxhash.Sum64(b[:sum]) != binary.BigEndian.Uint64(b[sum:]) {
		return h, nil, fmt.Errorf("snapshot %s: was never finished, or its header is damaged", name)
	}
	for i, p := range []*uint64{&h.size, &h.metaSize, &h.contentSum, &h.metaSum} {
		*p = binary.BigEndian.Uint64(b[8+8*i:])
	}
	if h.metaSize > snapMeta {
		return h, nil, fmt.Errorf("snapshot %s: meta of %d bytes", name, h.metaSize)
	}
	body := make([]byte, h.metaSize)
	if err := readFull(f, body, int64(snapHead)+int64(h.size)); err != nil {
		return h, nil, fmt.Errorf("snapshot %s: meta: %w", name, err)
	}
	if xxhash.Sum64(body) != h.metaSum {
		return h, nil, fmt.Errorf("snapshot %s: meta is damaged", name)
	}
	meta = &raft.SnapshotMeta{}
	if err := json.Unmarshal(body, meta); err != nil {
		return h, nil, fmt.Errorf("snapshot %s: meta: %w", name, err)
	}
	return h, meta, nil
}

func (s *snapshots) mark(name string, open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[string]bool{}
	}
	s.open[name] = open
	if !open {
		delete(s.open, name)
	}
}

func (s *snapshots) writing(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[name]
}

// reap deletes all but the newest whole snapshots, and what was never finished. settling is held, or nobody else is there.
func (s *snapshots) reap() error {
	found, err := s.List()
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, m := range found[:min(snapRetain, len(found))] {
		keep[m.ID] = true
	}
	names, err := s.fs.ListDir(s.dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if strings.HasSuffix(name, snapSuffix) && !keep[name] && !s.writing(name) {
			errs = append(errs, s.fs.Delete(s.dir, name))
		}
	}
	return errors.Join(errs...)
}

// sink takes one snapshot. It is a raft.SnapshotSink.
type sink struct {
	store *snapshots
	file  types.WritableFile
	buf   *bufio.Writer
	sum   *xxhash.Digest
	meta  raft.SnapshotMeta
	done  bool
}

// ID implements raft.SnapshotSink.
func (k *sink) ID() string { return k.meta.ID }

// Write implements io.Writer.
func (k *sink) Write(p []byte) (int, error) {
	n, err := k.buf.Write(p)
	k.sum.Write(p[:n])
	k.meta.Size += int64(n)
	return n, err
}

// Close makes the snapshot durable.
func (k *sink) Close() error {
	if k.done {
		return nil
	}
	k.done = true
	err := errors.Join(k.finish(), k.file.Close())
	k.store.settling.Lock()
	defer k.store.settling.Unlock()
	k.store.mark(k.meta.ID, false)
	if err != nil {
		return errors.Join(fmt.Errorf("snapshot %s: %w", k.meta.ID, err), k.store.fs.Delete(k.store.dir, k.meta.ID))
	}
	return k.store.reap()
}

func (k *sink) finish() error {
	body, err := json.Marshal(k.meta)
	if err != nil {
		return err
	}
	if _, err := k.buf.Write(body); err != nil {
		return err
	}
	if err := k.buf.Flush(); err != nil {
		return err
	}
	if err := k.file.Sync(); err != nil {
		return err
	}
	head := snapshotHead{uint64(k.meta.Size), uint64(len(body)), k.sum.Sum64(), xxhash.Sum64(body)}
	if _, err := k.file.WriteAt(head.encode(), 0); err != nil {
		return err
	}
	return k.file.Sync()
}

// Cancel drops the snapshot.
func (k *sink) Cancel() error {
	if k.done {
		return nil
	}
	k.done = true
	err := k.file.Close()
	k.store.settling.Lock()
	defer k.store.settling.Unlock()
	defer k.store.mark(k.meta.ID, false)
	return errors.Join(err, k.store.fs.Delete(k.store.dir, k.meta.ID))
}
