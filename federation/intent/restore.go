package intent

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/federation/intent/intentpb"
)

// ErrSnapshot says that bytes are not a whole snapshot of a version that is known.
var ErrSnapshot = errors.New("bad snapshot")

// Restore replaces everything by a snapshot's content; on an error nothing has changed. Open cursors end with
// ErrCompacted, and the feed restarts with its floor at the revision.
func (f *FSM) Restore(r io.Reader) error {
	next, answers, err := f.read(r)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state, f.answers = next, answers
	if !f.config.broken.has(brokenCursors) {
		f.restores++
	}
	for _, h := range f.histories {
		h.reset(next.objects, next.revision)
	}
	f.restartFeed()
	f.news()
	return nil
}

func (f *FSM) read(r io.Reader) (state, *answers, error) {
	in := &frameReader{r: bufio.NewReaderSize(r, 64<<10), hash: sha256.New()}
	magic := make([]byte, len(snapshotMagic))
	if err := in.full(magic); err != nil {
		return state{}, nil, err
	}
	if string(magic) != snapshotMagic {
		return state{}, nil, fmt.Errorf("%w: begins with %q: must begin with %q", ErrSnapshot, magic, snapshotMagic)
	}
	next, remembered := newState(), newAnswers(f.config.answers)
	var header *intentpb.Header
	var last []byte
	for {
		frame, err := in.frame()
		if err != nil {
			return state{}, nil, err
		}
		if frame == nil {
			break
		}
		switch part := frame.GetPart().(type) {
		case *intentpb.Frame_Header:
			if header != nil {
				return state{}, nil, fmt.Errorf("%w: a second header", ErrSnapshot)
			}
			header = part.Header
			next.incarnation, next.revision, next.applied = header.GetIncarnation(), header.GetRevision(), header.GetApplied()
		case *intentpb.Frame_Object:
			object, err := f.readObject(part.Object)
			if err != nil {
				return state{}, nil, err
			}
			k := key(object.Kind, object.Name)
			if header == nil || remembered.len() > 0 || bytes.Compare(last, k) >= 0 {
				return state{}, nil, fmt.Errorf("%w: %s %q: out of order", ErrSnapshot, object.Kind, object.Name)
			}
			last = k
			next.objects = next.with(object)
		case *intentpb.Frame_Answer:
			if header == nil || len(part.Answer.GetId()) != IDSize {
				return state{}, nil, fmt.Errorf("%w: answer %x", ErrSnapshot, part.Answer.GetId())
			}
			remembered.add(part.Answer.GetId(), part.Answer.GetResult())
		default:
			return state{}, nil, fmt.Errorf("%w: a part that this version does not know", ErrSnapshot)
		}
	}
	if header == nil || header.GetObjects() != uint64(next.tree.Len()) || header.GetAnswers() != uint64(remembered.len()) {
		return state{}, nil, fmt.Errorf("%w: %d objects and %d answers: must be as its header says, %v",
			ErrSnapshot, next.tree.Len(), remembered.len(), header)
	}
	return next, remembered, nil
}

func (f *FSM) readObject(m *intentpb.Object) (*Object, error) {
	object := objectFromProto(m)
	if _, ok := f.histories[object.Kind]; !ok {
		return nil, fmt.Errorf("%w: %s %q: kind: this version knows %q", ErrSnapshot, object.Kind, object.Name, f.kinds())
	}
	if f.unchecked(object.Kind) {
		return object, nil
	}
	typed, errs := decodeValue(object.Kind, object.Value)
	if len(errs) > 0 {
		return nil, fmt.Errorf("%w: %s %q: %w", ErrSnapshot, object.Kind, object.Name, errs.ToAggregate())
	}
	object.decoded = typed
	return object, nil
}

type frameReader struct {
	r    *bufio.Reader
	hash hash.Hash
}

func (in *frameReader) full(b []byte) error {
	if _, err := io.ReadFull(in.r, b); err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	in.hash.Write(b)
	return nil
}

// ReadByte implements io.ByteReader.
func (in *frameReader) ReadByte() (byte, error) {
	b, err := in.r.ReadByte()
	if err == nil {
		in.hash.Write([]byte{b})
	}
	return b, err
}

// frame reads one; nil at the end, which it has then checked.
func (in *frameReader) frame() (*intentpb.Frame, error) {
	length, err := binary.ReadUvarint(in)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	if length == 0 {
		return nil, in.end()
	}
	if length > maxFrame {
		return nil, fmt.Errorf("%w: frame of %d bytes: must have at most %d", ErrSnapshot, length, maxFrame)
	}
	encoded := make([]byte, length)
	if err := in.full(encoded); err != nil {
		return nil, err
	}
	frame := &intentpb.Frame{}
	if err := proto.Unmarshal(encoded, frame); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	if err := checkKnown(frame, frame.GetHeader(), frame.GetObject(), frame.GetAnswer()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	return frame, nil
}

func (in *frameReader) end() error {
	want, got := in.hash.Sum(nil), make([]byte, sha256.Size)
	if err := in.full(got); err != nil {
		return err
	}
	if !bytes.Equal(want, got) {
		return fmt.Errorf("%w: checksum %x: its content has %x", ErrSnapshot, got, want)
	}
	if _, err := in.r.ReadByte(); err != io.EOF {
		return fmt.Errorf("%w: bytes after its end", ErrSnapshot)
	}
	return nil
}
