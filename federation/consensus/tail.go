package consensus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"time"

	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// mendTail brings the log's last segment into a state from which raft-wal goes on correctly. After a crash at the
// wrong instant it would not:
//
//   - The batch that fills a segment ends with an index. If the crash comes before the next segment is in the segment
//     list, raft-wal finds the index, takes the segment as full and refuses every entry from then on.
//   - If that batch was torn, it does the same, for an index that is not even there in full.
//   - What a torn batch left behind the next, shorter one can pass for entries at the next recovery, and raft-wal then
//     trusts the batch before them without looking at its checksum.
//
// So a segment that is full and whole is closed in the segment list, and what follows the last whole batch is zeroed.
func mendTail(vfs types.VFS, dir string, meta *metaStore, segmentSize int) error {
	state, err := meta.Load(dir)
	if err != nil || len(state.Segments) == 0 {
		return err
	}
	tail := &state.Segments[len(state.Segments)-1]
	if !tail.SealTime.IsZero() {
		return nil
	}
	f, err := vfs.OpenWriter(dir, segment.FileName(*tail))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // raft-wal makes it
	}
	if err != nil {
		return err
	}
	defer f.Close()
	content, err := readAll(f)
	if err != nil {
		return fmt.Errorf("%s: %w", segment.FileName(*tail), err)
	}
	t := scanTail(content)
	if wholeBatch(content[t.end:]) {
		return fmt.Errorf("%s: damaged at byte %d, before entries that were acknowledged", segment.FileName(*tail), t.end)
	}
	if rest := content[t.end:]; len(bytes.TrimRight(rest, "\x00")) > 0 {
		if _, err := f.WriteAt(make([]byte, len(rest)), int64(t.end)); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
	if t.index == 0 || t.entries == 0 {
		return nil
	}
	tail.SealTime = time.Now()
	tail.IndexStart = uint64(t.index)
	tail.MaxIndex = tail.BaseIndex + uint64(t.entries) - 1
	state.Segments = append(state.Segments, types.SegmentInfo{
		ID:         state.NextSegmentID,
		BaseIndex:  tail.MaxIndex + 1,
		MinIndex:   tail.MaxIndex + 1,
		Codec:      tail.Codec,
		SizeLimit:  uint32(segmentSize),
		CreateTime: time.Now(),
	})
	state.NextSegmentID++
	return meta.CommitState(state)
}

// tail is what scanTail found: how many bytes and entries the whole batches take, and where the array of the index
// begins if there is one among them.
type tail struct{ end, entries, index int }

// The layout of a segment, by raft-wal's segment/format.go: a header, then frames of (type, 3 zero bytes, length or
// checksum), padded to 8 bytes; a commit frame carries the Castagnoli sum of all since the last one.
const (
	segmentHead = 32
	frameHead   = 8
)

func scanTail(content []byte) tail {
	var good tail
	entries, index, batch := 0, 0, 0
	for at := segmentHead; at+frameHead <= len(content); {
		size := binary.LittleEndian.Uint32(content[at+4:])
		switch content[at] {
		case segment.FrameEntry:
			entries++
		case segment.FrameIndex:
			index = at + frameHead
		case segment.FrameCommit:
			if crc32.Checksum(content[batch:at], castagnoli) != size {
				return good
			}
			size = 0
			batch = at + frameHead
			good = tail{end: batch, entries: entries, index: index}
		default:
			return good
		}
		next := int64(at) + frameHead + (int64(size)+7)/8*8
		if next > int64(len(content)) {
			return good
		}
		at = int(next)
	}
	return good
}

// wholeBatch says whether there is a whole batch, with the end of another one before it, in what scanTail did not
// accept. A torn batch is the last; one with others behind it was acknowledged and has rotted since.
func wholeBatch(content []byte) bool {
	last := -1
	for at := 0; at+frameHead <= len(content); at += frameHead {
		if !bytes.Equal(content[at:at+4], []byte{segment.FrameCommit, 0, 0, 0}) {
			continue
		}
		sum := binary.LittleEndian.Uint32(content[at+4:])
		if last >= 0 && crc32.Checksum(content[last+frameHead:at], castagnoli) == sum {
			return true
		}
		last = at
	}
	return false
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// readAll reads a file whose size the interface does not tell.
func readAll(f types.ReadableFile) ([]byte, error) {
	var content []byte
	buf := make([]byte, 1<<20)
	for {
		n, err := f.ReadAt(buf, int64(len(content)))
		content = append(content, buf[:n]...)
		if n < len(buf) {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return content, err
		}
	}
}
