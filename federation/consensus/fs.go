package consensus

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/types"
)

// FS is everything that a node does to a disk: the log's own interface, and the claim on a folder. A simulation
// replaces it whole. There is no rename in it and nothing is mapped into memory.
type FS interface {
	types.VFS
	// Claim makes the folder if there is none and takes it for this process until the result is closed. A folder that
	// another process holds is refused. When it returns, the entries of the folder survive a power cut.
	Claim(dir string) (io.Closer, error)
}

// OS returns the operating system's file system.
func OS() FS { return osFS{fs.New()} }

type osFS struct{ *fs.FS }

// lockFile is held by flock, which the kernel lets go of when the process dies, however it dies.
const lockFile = "LOCK"

// Claim implements FS.
func (osFS) Claim(dir string) (io.Closer, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("another process uses it (%s is locked)", filepath.Join(dir, lockFile))
		}
		return nil, err
	}
	// A file whose making was interrupted is there but may not survive a power cut: raft-wal syncs the folder only
	// after it made a file itself, not after it found one.
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := syncDir(d); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
