package feed

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/cespare/xxhash/v2"
)

// ErrCorrupt is returned for a snapshot that is truncated, changed or of another version. Nothing of it is used.
var ErrCorrupt = errors.New("corrupt snapshot")

// A snapshot is the magic, then the log's name, position, floor, filter, label and seal, then its records in the order
// of their last change, tombstones included, then the checksum of all that (rule 14: nothing is derived from the
// records). Numbers are unsigned varints, strings are preceded by their length. The last byte of the magic is the
// version; 1 had no label.
const snapshotMagic = "pentad feed\x00\x02"

const (
	snapshotEnd = iota
	snapshotLive
	snapshotDeleted
)

// version tells two states of a log apart that a snapshot must.
type version struct {
	position   Position
	generation uint64
}

func (l *Log) version() version {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return version{l.pos, l.generation}
}

// stored is what a snapshot must say of a log: two that are equal need no other one.
type stored struct {
	version
	label string
}

func (l *Log) stored() stored {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.storedLocked()
}

func (l *Log) storedLocked() stored { return stored{version{l.pos, l.generation}, l.label} }

// writeSnapshot writes the log's state as of one instant; the log is not held up meanwhile.
func (l *Log) writeSnapshot(w io.Writer) (stored, error) {
	l.mu.RLock()
	v := l.storedLocked()
	pos, floor, filter, seal := l.pos, l.floor, l.filter, l.table.seal
	records := make([]*Record, 0, l.table.live+l.table.dead.count)
	for n := l.table.root.next; n != &l.table.root; n = n.next {
		records = append(records, &n.Record)
	}
	l.mu.RUnlock()
	if l.opts.broken.has(floorNotSaved) {
		floor = Position{Incarnation: pos.Incarnation}
	}
	if l.opts.broken.has(positionFromRecords) && len(records) > 0 {
		pos = records[len(records)-1].At
	}
	sum := xxhash.New()
	e := encoder{w: bufio.NewWriterSize(io.MultiWriter(w, sum), 64<<10)}
	e.bytes(snapshotMagic)
	e.text(string(l.id))
	e.position(pos)
	e.position(floor)
	e.texts(filter.Kinds)
	e.texts(filter.Keys)
	if l.opts.broken.has(labelNotSaved) {
		v.label = ""
	}
	e.text(v.label)
	e.number(uint64(seal))
	for _, r := range records {
		if r.Value == nil {
			e.number(snapshotDeleted)
		} else {
			e.number(snapshotLive)
		}
		e.text(r.Kind)
		e.text(r.Key)
		e.position(r.At)
		if r.Value != nil {
			e.number(uint64(len(r.Value)))
			e.w.Write(r.Value)
		}
	}
	e.number(snapshotEnd)
	if err := e.w.Flush(); err != nil {
		return v, err
	}
	_, err := w.Write(binary.BigEndian.AppendUint64(nil, sum.Sum64()))
	return v, err
}

// A mark of a removal is the magic, the feed's name, the position, and the checksum of all that.
const removalMagic = "pentad gone\x00\x01"

func writeRemoval(w io.Writer, id ID, ended Position) error {
	sum := xxhash.New()
	e := encoder{w: bufio.NewWriter(io.MultiWriter(w, sum))}
	e.bytes(removalMagic)
	e.text(string(id))
	e.position(ended)
	if err := e.w.Flush(); err != nil {
		return err
	}
	_, err := w.Write(binary.BigEndian.AppendUint64(nil, sum.Sum64()))
	return err
}

func readRemoval(r io.Reader) (ID, Position, error) {
	d := &decoder{sum: xxhash.New()}
	d.r = bufio.NewReader(r)
	magic := string(d.take(len(removalMagic)))
	id, ended := ID(d.text()), d.position()
	sum := d.sum.Sum64()
	trailer := d.take(8)
	_, end := d.r.ReadByte()
	switch {
	case d.err != nil:
		return "", Position{}, fmt.Errorf("%w: %w", ErrCorrupt, d.err)
	case magic != removalMagic || binary.BigEndian.Uint64(trailer) != sum || ended.IsZero() || !errors.Is(end, io.EOF):
		return "", Position{}, fmt.Errorf("%w: not the mark of a removed feed", ErrCorrupt)
	}
	return id, ended, nil
}

// encoder leaves errors to its writer, which keeps the first.
type encoder struct {
	w   *bufio.Writer
	buf [binary.MaxVarintLen64]byte
}

func (e *encoder) bytes(s string)  { e.w.WriteString(s) }
func (e *encoder) number(n uint64) { e.w.Write(binary.AppendUvarint(e.buf[:0], n)) }
func (e *encoder) text(s string)   { e.number(uint64(len(s))); e.w.WriteString(s) }

func (e *encoder) position(p Position) { e.number(p.Incarnation); e.number(p.Seq) }

func (e *encoder) texts(ss []string) {
	e.number(uint64(len(ss)))
	for _, s := range ss {
		e.text(s)
	}
}

// readSnapshot returns the log that a snapshot holds, or ErrCorrupt: never a part of one.
func readSnapshot(r io.Reader, o Options) (*Log, error) {
	d := &decoder{sum: xxhash.New()}
	d.r = bufio.NewReaderSize(r, 64<<10)
	magic := d.take(len(snapshotMagic))
	if d.err != nil || string(magic[:len(magic)-1]) != snapshotMagic[:len(magic)-1] {
		return nil, fmt.Errorf("%w: not a snapshot of a feed", ErrCorrupt)
	}
	written, newest := magic[len(magic)-1], snapshotMagic[len(magic)-1]
	if written < 1 || written > newest {
		return nil, fmt.Errorf("%w: version %d, this program reads 1 to %d", ErrCorrupt, written, newest)
	}
	id := ID(d.text())
	pos, floor := d.position(), d.position()
	filter := Filter{Kinds: d.texts(), Keys: d.texts()}
	label := ""
	if written > 1 {
		label = d.text()
	}
	seal := Seal(d.number())
	l := NewLog(id, filter, o)
	now := l.opts.Now()
	last := Position{}
	for d.err == nil {
		what := d.number()
		if what == snapshotEnd {
			break
		}
		n := &node{Record: Record{Kind: d.text(), Key: d.text(), At: d.position()}}
		if what == snapshotLive {
			n.Value = d.value()
		}
		switch {
		case d.err != nil:
		case what > snapshotDeleted || n.At.Before(last) || pos.Before(n.At) || l.table.get(n.Kind, n.Key) != nil:
			d.err = fmt.Errorf("record %q at %s out of place", n.Key, n.At)
		default:
			n.Hash = hashValue(n.Value)
			l.table.put(n, now)
			last = n.At
		}
	}
	sum := d.sum.Sum64()
	trailer := d.take(8)
	switch {
	case d.err != nil:
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, d.err)
	case binary.BigEndian.Uint64(trailer) != sum:
		return nil, fmt.Errorf("%w: checksum differs", ErrCorrupt)
	case l.table.seal != seal:
		return nil, fmt.Errorf("%w: seal %s of the records, %s in the header", ErrCorrupt, l.table.seal, seal)
	case !filter.Equal(NewFilter(filter.Kinds, filter.Keys)) || pos.IsZero() || pos.Before(floor) ||
		len(label) > maxLabel:
		return nil, fmt.Errorf("%w: header: position %s, floor %s, filter %s", ErrCorrupt, pos, floor, filter)
	}
	if _, err := d.r.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: data after the end", ErrCorrupt)
	}
	l.pos, l.floor, l.label = pos, floor, label
	return l, nil
}

// decoder reads what encoder writes; after an error everything it returns is zero.
type decoder struct {
	r   *bufio.Reader
	sum hash.Hash64
	err error
}

func (d *decoder) take(n int) []byte {
	b := make([]byte, n)
	if d.err == nil {
		_, d.err = io.ReadFull(d.r, b)
	}
	d.sum.Write(b)
	return b
}

// ReadByte makes a decoder an io.ByteReader for varints.
func (d *decoder) ReadByte() (byte, error) {
	b, err := d.r.ReadByte()
	if err == nil {
		d.sum.Write([]byte{b})
	}
	return b, err
}

func (d *decoder) number() uint64 {
	if d.err != nil {
		return 0
	}
	n, err := binary.ReadUvarint(d)
	d.err = err
	return n
}

func (d *decoder) length(most uint64) int {
	n := d.number()
	if n > most && d.err == nil {
		d.err = fmt.Errorf("length %d, at most %d", n, most)
	}
	if d.err != nil {
		return 0
	}
	return int(n)
}

func (d *decoder) value() []byte {
	n := d.length(MaxValue)
	if n <= 4096 {
		return d.take(n)
	}
	// A length that lies must not make us take memory that the file does not back.
	var b bytes.Buffer
	if d.err == nil {
		_, d.err = io.CopyN(&b, d.r, int64(n))
	}
	d.sum.Write(b.Bytes())
	return bytes.Clone(b.Bytes())
}

func (d *decoder) text() string { return string(d.take(d.length(maxName))) }

func (d *decoder) position() Position { return Position{Incarnation: d.number(), Seq: d.number()} }

func (d *decoder) texts() []string {
	var ss []string
	for n := d.length(1 << 20); n > 0 && d.err == nil; n-- {
		ss = append(ss, d.text())
	}
	return ss
}
