package intent

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent/intentpb"
)

// FuzzDecode: bytes either are refused, or are a command that survives encoding.
func FuzzDecode(f *testing.F) {
	for _, entry := range undecodable() {
		f.Add(entry)
	}
	w := newTraffic(1)
	w.units = true
	machine := mustNew(Config{})
	for i := range 80 {
		c, _ := w.one(machine.View())
		machine.Apply(uint64(i+1), c)
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, entry []byte) {
		c, err := Decode(entry)
		if err != nil {
			if !errors.Is(err, ErrCommand) {
				t.Errorf("error is %v, want ErrCommand", err)
			}
			return
		}
		again, err := Encode(c)
		if err != nil {
			t.Fatalf("decoded, but: %v", err)
		}
		d, err := Decode(again)
		if err != nil || !proto.Equal(c, d) {
			t.Errorf("%v became %v, %v", c, d, err)
		}
	})
}

// FuzzApply: whatever value comes, twins stay equal, what they answer is a result, and nothing but an entry that Check
// refuses stops them.
func FuzzApply(f *testing.F) {
	a := newAuthor(1)
	for _, name := range []string{"hz-a", "x"} {
		f.Add("Center", name, toJSON(a.fresh(center(name, "hangzhou", ""), newObjects())), uint8(0))
		f.Add("Cluster", name, toJSON(a.fresh(cluster(name, "hz-a"), newObjects())), uint8(1))
		f.Add("ServicePolicy", name, toJSON(a.fresh(policy(name, "orders"), newObjects())), uint8(2))
	}
	for _, o := range unitObjects()[len(places)*2+1:] {
		f.Add(v1alpha1.KindOf(o), o.GetName(), toJSON(a.fresh(o, newObjects())), uint8(0))
	}
	out := evacuation("out", "hangzhou")
	f.Add("Switchover", "out", toJSON(a.fresh(out, newObjects())), uint8(0))
	f.Add("Center", "hz-a", []byte(`{"spec":{"region":7,"x":[{"y":1}]}}`), uint8(1))
	f.Fuzz(func(t *testing.T, kind, name string, value []byte, operation uint8) {
		first, second := withUnits(t, Config{}), withUnits(t, Config{})
		if err := second.Restore(bytes.NewReader(save(first.FSM))); err != nil {
			t.Fatal(err)
		}
		expect := uint64(1)
		if o, ok := first.View().Get(kind, name); ok {
			expect = o.Revision
		}
		c := map[uint8]*intentpb.Command{
			0: first.creation(kind, name, value),
			1: first.replacement(kind, name, value, expect),
			2: first.deletion(kind, name, expect),
		}[operation%3]
		encoded, err := Encode(c)
		if err != nil || first.Check(encoded) != nil {
			return
		}
		x, y := first.Apply(100, encoded), second.Apply(100, encoded)
		if !bytes.Equal(x, y) || !bytes.Equal(save(first.FSM), save(second.FSM)) {
			t.Fatal("twins differ")
		}
		r, err := DecodeResult(x)
		if err != nil {
			t.Fatal(err)
		}
		for _, refused := range r.Refused {
			if refused.Field == "" || refused.Message == "" && refused.Type == "FieldValueInvalid" {
				t.Errorf("a refusal says too little: %+v", refused)
			}
		}
		r.Errors().ToAggregate()
		if err := coherent(first.FSM); err != nil {
			t.Error(err)
		}
		if err := mustNew(Config{}).Restore(bytes.NewReader(save(first.FSM))); err != nil {
			t.Errorf("what was accepted cannot be restored: %v", err)
		}
	})
}

// FuzzTransition: whatever typed command comes, in whichever phase, twins stay equal, and objects, ownership and feed
// say the same.
func FuzzTransition(f *testing.F) {
	w := newTraffic(3)
	w.units = true
	machine := mustNew(Config{})
	for i := range 200 {
		c, _ := w.one(machine.View())
		machine.Apply(uint64(i+1), c)
		if d, err := Decode(c); err == nil && d.GetCreate() == nil && d.GetUpdate() == nil {
			f.Add(c, uint8(i))
		}
	}
	f.Fuzz(func(t *testing.T, command []byte, steps uint8) {
		first := withUnits(t, Config{})
		first.relay("hz-a")
		first.add(evacuation("s1", "hangzhou"))
		for range steps % 12 {
			if c := first.next(first.View().Ownership(), first.switchover("s1")); c != nil {
				first.must(c)
			}
		}
		second := mustNew(Config{})
		if err := second.Restore(reader(save(first.FSM))); err != nil {
			t.Fatal(err)
		}
		if first.Check(command) != nil {
			return
		}
		before := first.View()
		x, y := first.Apply(1000, command), second.Apply(1000, command)
		if !bytes.Equal(x, y) || !bytes.Equal(save(first.FSM), save(second)) {
			t.Fatal("twins differ")
		}
		if err := coherent(first.FSM); err != nil {
			t.Error(err)
		}
		after := first.View()
		if after.Ownership().Epoch < before.Ownership().Epoch || after.Revision() < before.Revision() {
			t.Errorf("went back from epoch %d to %d, revision %d to %d", before.Ownership().Epoch, after.Ownership().Epoch,
				before.Revision(), after.Revision())
		}
	})
}

// FuzzRestore: bytes, also with a right checksum, are refused, or are a state that survives its own snapshot.
func FuzzRestore(f *testing.F) {
	w := newTwins(1, Config{})
	w.units = true
	if err := w.run(60); err != nil {
		f.Fatal(err)
	}
	for _, b := range [][]byte{save(w.first), save(mustNew(Config{}))} {
		f.Add(b[:len(b)-sha256.Size], true)
		f.Add(b, false)
	}
	f.Fuzz(func(t *testing.T, b []byte, sum bool) {
		if sum {
			s := sha256.Sum256(b)
			b = append(bytes.Clone(b), s[:]...)
		}
		first, second := mustNew(Config{}), mustNew(Config{})
		if err := first.Restore(bytes.NewReader(b)); err != nil {
			if !errors.Is(err, ErrSnapshot) {
				t.Errorf("error is %v, want ErrSnapshot", err)
			}
			return
		}
		if err := second.Restore(bytes.NewReader(save(first))); err != nil {
			t.Fatalf("restored, but its own snapshot is refused: %v", err)
		}
		if !bytes.Equal(save(first), save(second)) {
			t.Error("a state and its restored snapshot differ")
		}
		before := second.Revision()
		if err := second.Reincarnate(later, aServer("s1", 7), time.Second); err != nil {
			if !errors.Is(err, ErrReincarnate) {
				t.Errorf("error is %v, want ErrReincarnate", err)
			}
			return
		}
		if err := first.Restore(bytes.NewReader(save(second))); err != nil || first.Revision() <= before {
			t.Errorf("a second life at revision %d after %d: %v", first.Revision(), before, err)
		}
	})
}
