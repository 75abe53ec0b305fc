package intent

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"

	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/unitization/switchover"
)

// A snapshot is snapshotMagic, frames (a uvarint length, never 0, and an intentpb.Frame), a 0, and the SHA-256 of all
// that. Equal states give equal bytes. The ownership is one frame, and grows with the sessions: maxFrame only keeps a
// length that is none from being believed.
const (
	snapshotMagic = "pentad intent 1\n"
	maxFrame      = 1 << 30
)

// Snapshot is a picture that can be written while commands go on.
type Snapshot = interface {
	io.WriterTo
	// Release ends its use.
	Release()
}

// Snapshot takes a picture of everything that a replica must know. It is quick. The history is not in it.
func (f *FSM) Snapshot() (Snapshot, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	s := &snapshot{state: f.state, answers: f.answers.list(), broken: f.config.broken}
	s.state.members = s.state.members.broken(f.config.broken)
	if f.config.broken.has(brokenAnswersNotSaved) {
		s.answers = nil
	}
	return s, nil
}

type snapshot struct {
	state   state
	answers []*answer
	broken  breakage
}

// Release implements Snapshot.
func (s *snapshot) Release() {}

// WriteTo implements Snapshot.
func (s *snapshot) WriteTo(w io.Writer) (int64, error) {
	out := &frameWriter{w: bufio.NewWriterSize(w, 64<<10), hash: sha256.New()}
	out.write([]byte(snapshotMagic))
	out.frame(&intentpb.Frame{Part: &intentpb.Frame_Header{Header: &intentpb.Header{
		Incarnation: s.state.incarnation, Revision: s.state.revision, Applied: s.state.applied,
		Objects: uint64(s.state.tree.Len()), Answers: uint64(len(s.answers)),
		Level: s.state.members.level, Founded: s.state.members.founded,
		Servers: uint64(len(s.state.members.servers)), Tokens: uint64(len(s.state.members.tokens)),
	}}})
	if !s.broken.has(brokenOwnershipNotSaved) {
		out.ownership(s.state.ownership)
	}
	out.members(s.state.members)
	s.each(func(object *Object) bool {
		out.frame(&intentpb.Frame{Part: &intentpb.Frame_Object{Object: object.proto()}})
		return out.err == nil
	})
	if !s.broken.has(brokenExpiryNotSaved) {
		out.expiries(s.state.expiries)
	}
	for _, a := range s.answers {
		out.frame(&intentpb.Frame{Part: &intentpb.Frame_Answer{
			Answer: &intentpb.Answer{Id: a.id[:], Result: a.result},
		}})
	}
	out.write([]byte{0})
	out.write(out.hash.Sum(nil))
	if out.err == nil {
		out.err = out.w.Flush()
	}
	return out.n, out.err
}

// each calls fn for the objects in the order of kind and name.
func (s *snapshot) each(fn func(*Object) bool) {
	if s.broken.has(brokenSnapshotOrder) {
		shuffled := map[*Object]bool{}
		s.state.tree.from("", func(_ string, object *Object) bool { shuffled[object] = true; return true })
		for object := range shuffled {
			fn(object)
		}
		return
	}
	s.state.tree.from("", func(_ string, object *Object) bool { return fn(object) })
}

// frameWriter keeps the first error.
type frameWriter struct {
	w    *bufio.Writer
	hash hash.Hash
	n    int64
	err  error
}

func (o *frameWriter) write(b []byte) {
	if o.err != nil {
		return
	}
	o.hash.Write(b)
	var n int
	n, o.err = o.w.Write(b)
	o.n += int64(n)
}

func (o *frameWriter) frame(frame *intentpb.Frame) {
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(frame)
	if o.err == nil {
		o.err = err
	}
	o.write(binary.AppendUvarint(nil, uint64(len(encoded))))
	o.write(encoded)
}

func (o *frameWriter) ownership(state switchover.State) {
	encoded, err := state.Encode()
	if o.err == nil {
		o.err = err
	}
	o.frame(&intentpb.Frame{Part: &intentpb.Frame_Ownership{Ownership: encoded}})
}
