package intent

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/unitization/switchover"
)

func TestDamagedSnapshotChangesNothing(t *testing.T) {
	e := populated(t)
	e.add(cluster("vm-sh-a", "sh-a"))
	e.add(store("orders", "sh-a"))
	e.relay("sh-a")
	whole := save(e.FSM)
	e.add(center("later", "hangzhou", ""))
	before := save(e.FSM)
	try := func(what string, i int, damaged []byte) {
		if err := e.Restore(bytes.NewReader(damaged)); !errors.Is(err, ErrSnapshot) {
			t.Fatalf("%s at %d of %d: error is %v, want ErrSnapshot", what, i, len(whole), err)
		}
	}
	for i := range whole {
		flipped := bytes.Clone(whole)
		flipped[i] ^= 1 << (i % 8)
		try("a bit flipped", i, flipped)
		try("cut", i, whole[:i])
	}
	try("a byte more", len(whole), append(bytes.Clone(whole), 0))
	if after := save(e.FSM); !bytes.Equal(before, after) {
		t.Error("a refused snapshot changed the state")
	}
	if err := e.Restore(iotest.OneByteReader(bytes.NewReader(whole))); err != nil {
		t.Errorf("the whole snapshot, byte by byte: %v", err)
	}
	if after := save(e.FSM); !bytes.Equal(whole, after) {
		t.Error("what was restored gives another snapshot")
	}
}

func reader(b []byte) io.Reader { return bytes.NewReader(b) }

// frames builds a snapshot with a right checksum.
func frames(parts ...*intentpb.Frame) io.Reader {
	b := []byte(snapshotMagic)
	for _, p := range parts {
		encoded, err := proto.Marshal(p)
		if err != nil {
			panic(err)
		}
		b = append(binary.AppendUvarint(b, uint64(len(encoded))), encoded...)
	}
	b = append(b, 0)
	sum := sha256.Sum256(b)
	return bytes.NewReader(append(b, sum[:]...))
}

func TestSnapshotOfAnotherMakeIsRefused(t *testing.T) {
	header := func(objects uint64) *intentpb.Frame {
		return &intentpb.Frame{Part: &intentpb.Frame_Header{Header: &intentpb.Header{
			Incarnation: epoch, Revision: epoch<<31 + 9, Objects: objects}}}
	}
	object := func(kind, name string) *intentpb.Frame {
		o := newAuthor(1).fresh(center(name, "hangzhou", ""), newObjects())
		return &intentpb.Frame{Part: &intentpb.Frame_Object{Object: &intentpb.Object{
			Kind: kind, Name: name, Value: toJSON(o), Revision: epoch<<31 + 1, Created: epoch<<31 + 1}}}
	}
	owned := func(s switchover.State) *intentpb.Frame {
		encoded, err := s.Encode()
		if err != nil {
			panic(err)
		}
		return &intentpb.Frame{Part: &intentpb.Frame_Ownership{Ownership: encoded}}
	}
	noise := &intentpb.Frame{Part: &intentpb.Frame_Ownership{Ownership: []byte("x")}}
	fresh := owned(switchover.State{Epoch: epoch << 31})
	broken := &intentpb.Frame{Part: &intentpb.Frame_Object{Object: &intentpb.Object{
		Kind: "Center", Name: "a", Value: []byte(`{"spec":{"color":"red"}}`)}}}
	for name, c := range map[string]struct {
		from io.Reader
		want string
	}{
		"of another version":  {strings.NewReader("pentad intent 2\nabc"), "must begin with"},
		"without a header":    {frames(), "as its header says"},
		"two headers":         {frames(header(0), header(0)), "one header, in front"},
		"object first":        {frames(object("Center", "a"), header(1)), "one header, in front"},
		"out of order":        {frames(header(2), object("Center", "b"), object("Center", "a")), "out of order"},
		"fewer than said":     {frames(header(2), object("Center", "a")), "must be 2 and 0, as its header says"},
		"an unknown kind":     {frames(header(1), object("Nothing", "a")), "Nothing"},
		"an unknown field":    {frames(header(1), broken), "spec.color"},
		"from the future":     {frames(early(header(1)), object("Center", "a")), "must be at most"},
		"an unknown part":     {frames(header(0), newer(&intentpb.Frame{})), "does not know"},
		"ownership twice":     {frames(header(0), fresh, fresh), "one ownership, after the header"},
		"ownership late":      {frames(header(1), object("Center", "a"), fresh), "one ownership, after the header"},
		"ownership first":     {frames(fresh, header(0)), "one header, in front"},
		"ownership of noise":  {frames(header(0), noise), "ownership: "},
		"an old epoch":        {frames(header(0), owned(switchover.State{Epoch: 7})), "epoch 7: must be at least"},
		"a store of nobody":   {frames(header(0), owned(oneStore())), "ownership of 1 objects of kind Store, 0 are there"},
		"a store that is not": {frames(header(1), fresh, objectOf(store("a", "hz-a"))), "of 0 objects of kind Store"},
		"a newer header":      {frames(newer(header(0))), "does not know"},
		"a short id": {frames(header(0), &intentpb.Frame{Part: &intentpb.Frame_Answer{
			Answer: &intentpb.Answer{Id: []byte("x")}}}), "answer"},
	} {
		if err := mustNew(Config{}).Restore(c.from); !errors.Is(err, ErrSnapshot) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %q", name, err, c.want)
		}
	}
	if err := mustNew(Config{}).Restore(frames(header(1), fresh, object("Center", "a"))); err != nil {
		t.Errorf("the same in order: %v", err)
	}
	old := mustNew(Config{})
	if err := old.Restore(frames(header(1), object("Center", "a"))); err != nil {
		t.Errorf("one of before there was ownership: %v", err)
	}
	if o := old.View().Ownership(); o.Epoch != epoch<<31 || len(o.Maps)+len(o.Stores)+len(o.Sessions) > 0 {
		t.Errorf("one of before there was ownership has %+v, want only the first epoch", o)
	}
}

func oneStore() switchover.State {
	s, problems := switchover.State{Epoch: epoch << 31}.Apply(declareStore(store("a", "hz-a")))
	if len(problems) > 0 {
		panic(problems)
	}
	return s
}

func objectOf(o v1alpha1.Object) *intentpb.Frame {
	newAuthor(1).fresh(o, newObjects())
	return &intentpb.Frame{Part: &intentpb.Frame_Object{Object: &intentpb.Object{
		Kind: v1alpha1.KindOf(o), Name: o.GetName(), Value: toJSON(o), Revision: epoch<<31 + 1, Created: epoch<<31 + 1}}}
}

// TestRestoredOwnershipGoesOn cuts a switchover in each phase by a snapshot.
func TestRestoredOwnershipGoesOn(t *testing.T) {
	for phase := switchover.PhasePlanned; phase < switchover.PhaseDone; phase++ {
		e := withUnits(t, Config{})
		e.relay("hz-a")
		e.add(evacuation("out", "hangzhou"))
		e.drive("out", phase)
		restored := &estate{t: t, FSM: mustNew(Config{}), author: e.author, index: e.index}
		_, _, news := restored.Ownership()
		if err := restored.Restore(reader(save(e.FSM))); err != nil {
			t.Fatalf("in %s: %v", phase, err)
		}
		select {
		case <-news:
		default:
			t.Errorf("in %s: no news of a restore", phase)
		}
		restored.drive("out", switchover.PhaseDone)
		if err := coherent(restored.FSM); err != nil {
			t.Errorf("restored in %s: %v", phase, err)
		}
	}
}

// newer adds a field of a later version to a frame's part, or else to the frame.
func newer(frame *intentpb.Frame) *intentpb.Frame {
	m := frame.ProtoReflect()
	if h := frame.GetHeader(); h != nil {
		m = h.ProtoReflect()
	}
	m.SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 77, protowire.VarintType), 1))
	return frame
}

// early lowers a header's revision.
func early(frame *intentpb.Frame) *intentpb.Frame {
	frame.GetHeader().Revision = epoch << 31
	return frame
}

func TestSnapshotIsAPictureOfItsMoment(t *testing.T) {
	e := populated(t)
	want := save(e.FSM)
	s, err := e.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"x", "y"} {
		e.add(center(name, "hangzhou", ""))
	}
	var got bytes.Buffer
	if _, err := s.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("commands that came later are in the snapshot, or %v", err)
	}
	if _, err := s.WriteTo(&failing{after: 100}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("a failing disk gives %v", err)
	}
	s.Release()
}

type failing struct{ after int }

func (f *failing) Write(b []byte) (int, error) {
	if f.after -= len(b); f.after < 0 {
		return 0, io.ErrShortWrite
	}
	return len(b), nil
}

// TestReusedIndexesDoNotReuseRevisions is a log that begins again, as when a new group is made from a snapshot.
func TestReusedIndexesDoNotReuseRevisions(t *testing.T) {
	if err := reusedIndexes(Config{}); err != nil {
		t.Error(err)
	}
}

func reusedIndexes(config Config) error {
	w := newTraffic(1)
	f := mustNew(config)
	last := f.Revision()
	for i := uint64(1); i <= 80; i++ {
		index := i
		if i > 40 {
			index -= 40
		}
		if i == 41 {
			next := mustNew(config)
			if err := next.Restore(bytes.NewReader(save(f))); err != nil {
				return err
			}
			f = next
		}
		command, _ := w.one(f.View())
		f.Apply(index, command)
		if now := f.Revision(); now < last {
			return fmt.Errorf("entry %d: the revision went from %d to %d", index, last, now)
		}
		last = f.Revision()
	}
	return nil
}

func TestRestoredReferencesAreChecked(t *testing.T) {
	e := populated(t)
	restored := newEstate(t, Config{})
	if err := restored.Restore(bytes.NewReader(save(e.FSM))); err != nil {
		t.Fatal(err)
	}
	if r := restored.do(restored.remove("Center", "hz-a")); len(r.Refused) != 1 {
		t.Errorf("deleting a center with a cluster: %+v", r)
	}
	again := restored.fresh(policy("again", "orders"), restored.View().Lookup())
	if r := restored.do(restored.creation(v1alpha1.KindServicePolicy, "again", toJSON(again))); len(r.Refused) != 1 {
		t.Errorf("a second policy of a service: %+v", r)
	}
}
