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

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/unitization/switchover"
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
	f.replace(next, answers)
	return nil
}

// replace shows another state in the place of the present one. The lock is held.
func (f *FSM) replace(next state, answers *answers) {
	f.state, f.answers = next, answers
	if !f.config.broken.has(brokenCursors) {
		f.restores++
	}
	for _, h := range f.histories {
		h.reset(next.objects, next.revision)
	}
	f.restartFeed()
	f.ownershipNews()
	f.tellMembers()
	f.news()
}

// read builds what a snapshot says, whole or not at all.
func (f *FSM) read(r io.Reader) (state, *answers, error) {
	in := &frameReader{r: bufio.NewReaderSize(r, 64<<10), hash: sha256.New()}
	magic := make([]byte, len(snapshotMagic))
	if err := in.full(magic); err != nil {
		return state{}, nil, err
	}
	if string(magic) != snapshotMagic {
		return state{}, nil, fmt.Errorf("%w: begins with %q: must begin with %q", ErrSnapshot, magic, snapshotMagic)
	}
	p := &picture{f: f, state: newState(), answers: newAnswers(f.config.answers)}
	for {
		frame, err := in.frame()
		if err == nil && frame == nil {
			err = p.complete()
		} else if err == nil {
			err = p.add(frame)
		}
		if err != nil || frame == nil {
			return p.state, p.answers, err
		}
	}
}

// picture is what a snapshot's frames have said so far.
type picture struct {
	f       *FSM
	header  *intentpb.Header
	state   state
	answers *answers
	last    string // key of the last object
	// lastExpiry is the name of the last cluster that expired.
	lastExpiry string
	// lastServer and lastToken are the name and the hash of the last ones.
	lastServer, lastToken string
	// owned says that the ownership was there: snapshots of before there was any have none.
	owned bool
}

func (p *picture) add(frame *intentpb.Frame) error {
	if first := frame.GetHeader(); (p.header == nil) != (first != nil) {
		return fmt.Errorf("%w: must have one header, in front", ErrSnapshot)
	}
	switch part := frame.GetPart().(type) {
	case *intentpb.Frame_Header:
		p.header = part.Header
		p.state.incarnation, p.state.revision = p.header.GetIncarnation(), p.header.GetRevision()
		p.state.applied = p.header.GetApplied()
		return p.beginMembers()
	case *intentpb.Frame_Ownership:
		return p.addOwnership(part.Ownership)
	case *intentpb.Frame_Server:
		return p.addServer(part.Server)
	case *intentpb.Frame_Token:
		return p.addToken(part.Token)
	case *intentpb.Frame_Cluster:
		return p.addExpiry(part.Cluster)
	case *intentpb.Frame_Object:
		return p.addObject(part.Object)
	case *intentpb.Frame_Answer:
		id := part.Answer.GetId()
		if len(id) != IDSize {
			return fmt.Errorf("%w: answer %x: must have an id of %d bytes", ErrSnapshot, id, IDSize)
		}
		if _, twice := p.answers.get(id); twice {
			return fmt.Errorf("%w: answer %x: twice", ErrSnapshot, id)
		}
		p.answers.add(id, part.Answer.GetResult())
		return nil
	}
	return fmt.Errorf("%w: a part that this version does not know", ErrSnapshot)
}

func (p *picture) addOwnership(encoded []byte) error {
	if p.owned || p.last != "" || p.answers.len() > 0 {
		return fmt.Errorf("%w: must have one ownership, after the header", ErrSnapshot)
	}
	ownership, err := switchover.DecodeState(encoded)
	if err != nil {
		return fmt.Errorf("%w: ownership: %w", ErrSnapshot, err)
	}
	p.state.ownership, p.owned = ownership, true
	return nil
}

func (p *picture) addObject(m *intentpb.Object) error {
	object, err := p.f.readObject(m)
	if err != nil {
		return err
	}
	k := key(object.Kind, object.Name)
	switch {
	case p.answers.len() > 0 || p.lastExpiry != "" || p.last >= k:
		return fmt.Errorf("%w: %s %q: out of order", ErrSnapshot, object.Kind, object.Name)
	case object.Created > object.Revision || object.Revision > p.state.revision:
		return fmt.Errorf("%w: %s %q: created at %d, changed at %d: must be at most %d",
			ErrSnapshot, object.Kind, object.Name, object.Created, object.Revision, p.state.revision)
	}
	p.last = k
	p.state.objects = p.state.with(object)
	return nil
}

func (p *picture) complete() error {
	objects, answers := uint64(p.state.tree.Len()), uint64(p.answers.len())
	if p.header == nil || p.header.GetObjects() != objects || p.header.GetAnswers() != answers {
		return fmt.Errorf("%w: %d objects and %d answers: must be %d and %d, as its header says",
			ErrSnapshot, objects, answers, p.header.GetObjects(), p.header.GetAnswers())
	}
	if err := p.completeMembers(); err != nil {
		return err
	}
	if !p.owned && p.state.incarnation > 0 {
		p.state.ownership.Epoch = p.state.incarnation << revisionBits
	}
	return p.agree()
}

// agree checks that the ownership is that of the objects: each Store, Unitization and Switchover has its part there,
// and no other has.
func (p *picture) agree() error {
	o := p.state.ownership
	if o.Epoch < p.state.incarnation<<revisionBits {
		return fmt.Errorf("%w: ownership: epoch %d: must be at least %d, the first of incarnation %d",
			ErrSnapshot, o.Epoch, p.state.incarnation<<revisionBits, p.state.incarnation)
	}
	for _, part := range []struct {
		kind string
		n    int
		has  func(name string) bool
	}{
		{v1alpha1.KindStore, len(o.Stores), func(name string) bool { return o.Stores[name] != nil }},
		{v1alpha1.KindUnitization, len(o.Maps), func(name string) bool { return o.Maps[name] != nil }},
		{v1alpha1.KindSwitchover, len(o.Switchovers), func(name string) bool { return o.Switchovers[name] != nil }},
	} {
		n, without := 0, ""
		p.state.scan(part.kind, "", func(object *Object) bool {
			if n++; !part.has(object.Name) {
				without = object.Name
			}
			return without == ""
		})
		if without != "" || n != part.n {
			return fmt.Errorf("%w: ownership of %d objects of kind %s, %d are there: %q has none",
				ErrSnapshot, part.n, part.kind, n, without)
		}
	}
	return nil
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
	encoded, err := io.ReadAll(io.LimitReader(in.r, int64(length))) // grows with what comes, not with what is said
	if err == nil && uint64(len(encoded)) < length {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	in.hash.Write(encoded)
	frame := &intentpb.Frame{}
	if err := proto.Unmarshal(encoded, frame); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	if err := checkKnown(frame.ProtoReflect()); err != nil {
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
