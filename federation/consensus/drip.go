package consensus

import "github.com/hashicorp/raft-wal/types"

// drip is a file that is synced as it grows: no sync takes long, as those of the log beside it would too, and a disk that
// hangs is told from a snapshot that is large.
type drip struct {
	types.WritableFile
	watch    func(what string) (done func())
	unsynced int
}

// dripEvery is how many bytes are written between two syncs.
const dripEvery = 4 << 20

// WriteAt implements io.WriterAt.
func (d *drip) WriteAt(p []byte, off int64) (n int, err error) {
	if d.watch != nil {
		defer d.watch("writing a snapshot")()
	}
	n, err = d.WritableFile.WriteAt(p, off)
	if d.unsynced += n; err == nil && d.unsynced >= dripEvery {
		d.unsynced = 0
		err = d.WritableFile.Sync()
	}
	return n, err
}

// Sync implements types.WritableFile.
func (d *drip) Sync() error {
	if d.watch != nil {
		defer d.watch("syncing a snapshot")()
	}
	return d.WritableFile.Sync()
}
