package intent

import (
	"fmt"
	"testing"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/unitization/switchover"
)

// BenchmarkAckFreeze is one entry with the acknowledgements of all relays that a switchover waits for.
func BenchmarkAckFreeze(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmarkAcks(b, n) })
	}
}

func benchmarkAcks(b *testing.B, n int) {
	f, w, index := frozen(b, n)
	sw := f.View().Ownership().Switchovers["out"]
	concerned := f.View().Ownership().Concerned("out")
	if len(concerned) != n {
		b.Fatalf("%d sessions are concerned, want %d", len(concerned), n)
	}
	saved := save(f)
	for b.Loop() {
		b.StopTimer()
		if err := f.Restore(reader(saved)); err != nil {
			b.Fatal(err)
		}
		command := encode(w.transition(acks(sw.Freeze, concerned...)))
		b.StartTimer()
		f.Apply(index+1, command)
		b.StopTimer()
		if phase := f.View().Ownership().Switchovers["out"].Phase; phase != switchover.PhaseFencing {
			b.Fatalf("the switchover is %s", phase)
		}
		b.StartTimer()
	}
}

// BenchmarkOpenSession is a session beside 1,000 others.
func BenchmarkOpenSession(b *testing.B) {
	f, w, index := frozen(b, 1000)
	for b.Loop() {
		b.StopTimer()
		id := string(w.uid())
		open := encode(w.transition(session(id, "sz-a")))
		end := encode(w.transition(&intentpb.CloseSession{Id: id}))
		gone := encode(w.transition(&intentpb.RemoveSession{Id: id, Term: 1}))
		b.StartTimer()
		f.Apply(index+1, open)
		b.StopTimer()
		f.Apply(index+2, end)
		f.Apply(index+3, gone)
		b.StartTimer()
	}
}

// frozen is an estate with a switchover that waits for n relays.
func frozen(tb testing.TB, n int) (*FSM, *author, uint64) {
	f, w := mustNew(Config{}), newAuthor(1)
	index := uint64(0)
	do := func(c *intentpb.Command) {
		index++
		if r, err := DecodeResult(f.Apply(index, encode(c))); err != nil || !r.OK {
			tb.Fatalf("%+v, %v", r, err)
		}
	}
	for _, o := range append(unitObjects(), evacuation("out", "hangzhou")) {
		w.fresh(o, f.View().Lookup())
		do(w.creation(v1alpha1.KindOf(o), o.GetName(), toJSON(o)))
	}
	for i := range n {
		do(w.transition(session(string(w.uid()), fmt.Sprintf("hz-%c", 'a'+i%2))))
	}
	for range 2 {
		s := f.View().Ownership()
		do(w.next(s, s.Switchovers["out"]))
	}
	return f, w, index
}
