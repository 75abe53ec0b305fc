package consensus

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft-wal/types"
)

// spare is a file that holds room on the disk for one more segment of the log. A follower whose disk is full when a new
// leader has it take back entries needs that room: raft-wal ends the old segment and makes another one, and raft cannot
// go on with half of that done. So the end of the log is cut off only while the spare is there, or while there is room
// for it; else the cut is refused with everything as it was, and asked for again (rule 4). In the middle of the cut the
// spare is given up for the segment.
//
// It is kept back from everything else: a write that finds no room is refused, as what is written is only ever more.
type spare struct {
	fs   types.VFS // below the disk: what happens to the spare ends no process
	dir  string
	size uint64

	held  atomic.Bool
	spend atomic.Bool // a cut is being made, or what replaces it is being stored
	tried time.Time   // when it was last asked for; whoever writes the log
}

const (
	spareFile = "SPARE"
	// spareRetry is how long the log's writer does not ask again for a spare that there was no room for.
	spareRetry = time.Second
)

// newSpare finds the spare of a folder. A new folder gets it with the first entry that it stores.
func newSpare(vfs types.VFS, dir string, segmentSize int) (*spare, error) {
	names, err := vfs.ListDir(dir)
	if err != nil {
		return nil, err
	}
	// The old segment may end a little behind the room that it was given.
	s := &spare{fs: vfs, dir: dir, size: uint64(segmentSize + segmentSize/8)}
	s.held.Store(slices.Contains(names, spareFile))
	return s, nil
}

// take makes the spare if there is none, which fails for want of room.
func (s *spare) take() error {
	if s.held.Load() {
		return nil
	}
	s.tried = time.Now()
	f, err := s.fs.Create(s.dir, spareFile, s.size)
	if err != nil {
		if !errors.Is(err, fs.ErrExist) {
			_ = s.fs.Delete(s.dir, spareFile) // what it left behind takes room too, if there is anything
		}
		return err
	}
	s.held.Store(true)
	return f.Close()
}

// refill takes the spare again some time after it was given up. That it cannot is no error: see DeleteRange.
func (s *spare) refill() {
	if !s.held.Load() && time.Since(s.tried) >= spareRetry {
		_ = s.take()
	}
}

// give frees the spare's room for a file that finds none, and says whether that is worth another try. A snapshot that is
// written meanwhile does not get it.
func (s *spare) give(name string) bool {
	return s.spend.Load() && !strings.HasSuffix(name, snapSuffix) && s.held.CompareAndSwap(true, false) && s.fs.Delete(s.dir, spareFile) == nil
}
