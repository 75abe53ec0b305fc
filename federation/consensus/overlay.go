package consensus

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"

	"github.com/hashicorp/raft-wal/types"
)

// overlay is a file system whose changes stay in memory; what lies under it is only read. It holds one folder.
type overlay struct {
	under FS

	mu    sync.Mutex
	files map[string]*overlayFile // made or changed; nil: deleted
}

type overlayFile struct {
	fs      *overlay
	content []byte // guarded by fs.mu
}

func newOverlay(under FS) *overlay { return &overlay{under: under, files: map[string]*overlayFile{}} }

// claimMade claims a folder that is finished. It makes none.
func claimMade(vfs FS, dir string) (io.Closer, error) {
	names, err := vfs.ListDir(dir)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(names, versionFile) {
		return nil, fmt.Errorf("it has no %s", versionFile)
	}
	return vfs.Claim(dir)
}

// Claim implements FS: the folder under it is claimed already.
func (o *overlay) Claim(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// ListDir implements types.VFS.
func (o *overlay) ListDir(dir string) ([]string, error) {
	names, err := o.under.ListDir(dir)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	names = slices.DeleteFunc(names, func(n string) bool { _, changed := o.files[n]; return changed })
	for n, f := range o.files {
		if f != nil {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names, nil
}

// load returns a file with its content in memory, nil if there is none; mu is held.
func (o *overlay) load(dir, name string) (*overlayFile, error) {
	if f, changed := o.files[name]; changed {
		return f, nil
	}
	r, err := o.under.OpenReader(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer r.Close()
	content, err := readAll(r)
	if err != nil {
		return nil, err
	}
	o.files[name] = &overlayFile{fs: o, content: content}
	return o.files[name], nil
}

// Create implements types.VFS.
func (o *overlay) Create(dir, name string, size uint64) (types.WritableFile, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f, err := o.load(dir, name)
	if err != nil {
		return nil, err
	}
	if f != nil {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrExist)
	}
	o.files[name] = &overlayFile{fs: o, content: make([]byte, size)}
	return o.files[name], nil
}

// OpenWriter implements types.VFS.
func (o *overlay) OpenWriter(dir, name string) (types.WritableFile, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f, err := o.load(dir, name)
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return f, nil
}

// OpenReader implements types.VFS.
func (o *overlay) OpenReader(dir, name string) (types.ReadableFile, error) {
	o.mu.Lock()
	f, changed := o.files[name]
	o.mu.Unlock()
	switch {
	case !changed:
		return o.under.OpenReader(dir, name)
	case f == nil:
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return f, nil
}

// Delete implements types.VFS.
func (o *overlay) Delete(_, name string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.files[name] = nil
	return nil
}

// ReadAt implements io.ReaderAt.
func (f *overlayFile) ReadAt(p []byte, off int64) (n int, err error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if off < int64(len(f.content)) {
		n = copy(p, f.content[off:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements io.WriterAt.
func (f *overlayFile) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if end := int(off) + len(p); end > len(f.content) {
		f.content = append(f.content, make([]byte, end-len(f.content))...)
	}
	return copy(f.content[off:], p), nil
}

// Sync implements types.WritableFile.
func (f *overlayFile) Sync() error { return nil }

// Close implements io.Closer.
func (f *overlayFile) Close() error { return nil }
