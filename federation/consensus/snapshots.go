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

func snapshotName(index, term uint64) string {
	return fmt.Sprintf("%020d-%020d%s", index, term, snapSuffix)
}

// Create implements raft.SnapshotStore.
func (s *snapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	name := snapshotName(index, term)
	f, err := s.fs.Create(s.dir, name, 0)
	if errors.Is(err, fs.ErrExist) {
		// The same state, begun before and perhaps not finished: it is made again, unless it is good.
		if _, _, err := s.read(name); err == nil {
			return nil, fmt.Errorf("snapshot %s exists already", name)
		}
		if err := s.fs.Delete(s.dir, name); err != nil {
			return nil, err
		}
		f, err = s.fs.Create(s.dir, name, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", name, err)
	}
	k := &sink{store: s, file: f, sum: xxhash.New(), meta: raft.SnapshotMeta{
		Version: version, ID: name, Index: index, Term: term,
		Configuration: configuration, ConfigurationIndex: configurationIndex,
	}}
	k.buf = bufio.NewWriterSize(io.NewOffsetWriter(f, int64(snapHead)), 256<<10)
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
		if !strings.HasSuffix(name, snapSuffix) {
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
	return meta, struct {
		io.Reader
		io.Closer
	}{content, f}, nil
}

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

// reap deletes all but the newest whole snapshots, and what was never finished.
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
		if strings.HasSuffix(name, snapSuffix) && !keep[name] {
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
	if err := errors.Join(k.finish(), k.file.Close()); err != nil {
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
	return errors.Join(k.file.Close(), k.store.fs.Delete(k.store.dir, k.meta.ID))
}
