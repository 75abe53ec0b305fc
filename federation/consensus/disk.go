package consensus

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/raft-wal/types"
)

// disk is the file system with rule 4 around it. A write that finds the disk full is refused and may be tried again;
// any other failed write, and every failed sync, ends the process: after a failed sync nobody knows what is on disk,
// and a second one may report success for pages that the kernel has dropped.
type disk struct {
	FS
	die     func(error)
	timeout time.Duration
	synced  func(time.Duration) // is told how long each sync took
	failed  atomic.Bool
	later   atomic.Pointer[func(*diskFile)] // syncs the log's files instead of Sync while it is set
	spare   *spare                          // nil before the log is open
	plants  *plants
}

// isFull says whether an error means that there is no room, which leaves what is on disk as it was.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// fail ends the process. After it, nothing is written any more.
func (d *disk) fail(err error) error {
	d.failed.Store(true)
	d.die(err)
	return fmt.Errorf("%w: %w", ErrStopped, err)
}

// watch ends the process if the returned function is not called within the timeout. A leader whose disk hangs would
// otherwise stay in office, answering heartbeats, and its writes would never return.
func (d *disk) watch(what string) (done func()) {
	if d.plants.noDiskTimeout {
		return func() {}
	}
	// In two halves, so that a process that was stopped for a while, with all its virtual machine perhaps, does not
	// take that for its disk: at least the second half runs while the disk does.
	var mu sync.Mutex
	var t *time.Timer
	over := false
	mu.Lock()
	defer mu.Unlock()
	t = time.AfterFunc(d.timeout/2, func() {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return
		}
		t = time.AfterFunc(d.timeout/2, func() {
			d.fail(fmt.Errorf("disk: %s takes more than %v", what, d.timeout))
		})
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		over = true
		t.Stop()
	}
}

// Create implements types.VFS.
func (d *disk) Create(dir, name string, size uint64) (types.WritableFile, error) {
	if d.failed.Load() {
		return nil, ErrStopped
	}
	f, err := d.FS.Create(dir, name, size)
	if isFull(err) {
		// Without the room that was asked for the file may be there nevertheless.
		_ = d.FS.Delete(dir, name)
		if d.spare != nil && d.spare.give(name) {
			f, err = d.FS.Create(dir, name, size)
		}
	}
	if err != nil {
		return nil, err
	}
	return &diskFile{WritableFile: f, name: name, disk: d}, nil
}

// OpenWriter implements types.VFS.
func (d *disk) OpenWriter(dir, name string) (types.WritableFile, error) {
	f, err := d.FS.OpenWriter(dir, name)
	if err != nil {
		return nil, err
	}
	return &diskFile{WritableFile: f, name: name, disk: d}, nil
}

// Delete implements types.VFS.
func (d *disk) Delete(dir, name string) error {
	if d.failed.Load() {
		return ErrStopped
	}
	return d.FS.Delete(dir, name)
}

type diskFile struct {
	types.WritableFile
	name string
	disk *disk
}

// WriteAt implements io.WriterAt.
func (f *diskFile) WriteAt(p []byte, off int64) (int, error) {
	if f.disk.failed.Load() {
		return 0, ErrStopped
	}
	n, err := f.WritableFile.WriteAt(p, off)
	if isFull(err) && f.disk.spare != nil && f.disk.spare.give(f.name) {
		n, err = f.WritableFile.WriteAt(p, off)
	}
	if err != nil && !isFull(err) && !(errors.Is(err, io.EOF) && n == len(p)) {
		err = f.disk.fail(fmt.Errorf("disk: write to %s: %w", f.name, err))
	}
	return n, err
}

// Sync implements types.WritableFile.
func (f *diskFile) Sync() error {
	if later := f.disk.later.Load(); later != nil && isSegment(f.name) {
		(*later)(f)
		return nil
	}
	return f.sync()
}

func (f *diskFile) sync() error {
	if f.disk.failed.Load() {
		return ErrStopped
	}
	if f.disk.plants.noSync {
		return nil
	}
	start := time.Now()
	err := f.WritableFile.Sync()
	f.disk.synced(time.Since(start))
	if err != nil && f.disk.plants.forgiveSync {
		return nil
	}
	if err != nil {
		return f.disk.fail(fmt.Errorf("disk: sync of %s: %w", f.name, err))
	}
	// A sync that came back after the timeout must not be acknowledged: the process has been told to end.
	if f.disk.failed.Load() {
		return ErrStopped
	}
	return nil
}
