package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/dev/sample/ledger/ledgerpb"
)

// A record of the log file is its body's length and checksum, 4 bytes little endian each, and the body, an Entry. The
// primary makes it once; replicas check it and write the same bytes.
const (
	headBytes = 8
	maxRecord = 1 << 20
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	// errRecord says that bytes are no record.
	errRecord = errors.New("damaged record")
)

// entry is a record in memory.
type entry struct {
	record []byte
	token  uint64
	// id is empty of the entry that a primary begins with.
	id    string
	shard uint32
}

func encodeEntry(e *ledgerpb.Entry) (entry, error) {
	size := proto.Size(e)
	if size > maxRecord {
		return entry{}, fmt.Errorf("write %q: %d bytes are more than %d", e.GetWrite().GetId(), size, maxRecord)
	}
	record, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(make([]byte, headBytes, headBytes+size), e)
	if err != nil {
		return entry{}, err
	}
	body := record[headBytes:]
	binary.LittleEndian.PutUint32(record, uint32(len(body)))
	binary.LittleEndian.PutUint32(record[4:], crc32.Checksum(body, castagnoli))
	return entry{record: record, token: e.GetToken(), id: e.GetWrite().GetId(), shard: e.GetWrite().GetShard()}, nil
}

// decodeEntry takes a whole record, which must be the entry of this index.
func decodeEntry(record []byte, index uint64) (entry, *ledgerpb.Entry, error) {
	if len(record) < headBytes || uint64(binary.LittleEndian.Uint32(record)) != uint64(len(record)-headBytes) {
		return entry{}, nil, fmt.Errorf("entry %d: %w: wrong length", index, errRecord)
	}
	body := record[headBytes:]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(record[4:]) {
		return entry{}, nil, fmt.Errorf("entry %d: %w: wrong checksum", index, errRecord)
	}
	var e ledgerpb.Entry
	if err := proto.Unmarshal(body, &e); err != nil {
		return entry{}, nil, fmt.Errorf("entry %d: %w: %w", index, errRecord, err)
	}
	if e.GetIndex() != index {
		return entry{}, nil, fmt.Errorf("entry %d: %w: it says that it is %d", index, errRecord, e.GetIndex())
	}
	return entry{record: record, token: e.GetToken(), id: e.GetWrite().GetId(), shard: e.GetWrite().GetShard()}, &e, nil
}

// cutRecord returns the first record of data; ok is false when none is whole and undamaged.
func cutRecord(data []byte) (record, rest []byte, ok bool) {
	if len(data) < headBytes {
		return nil, data, false
	}
	size := uint64(binary.LittleEndian.Uint32(data)) + headBytes
	if size > maxRecord+headBytes || size > uint64(len(data)) {
		return nil, data, false
	}
	return data[:size:size], data[size:], true
}
