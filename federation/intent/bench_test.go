package intent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent/intentpb"
)

// BenchmarkApply is one command on an estate of 1,000 clusters and as many policies, with the feed, the history and the
// answers.
func BenchmarkApply(b *testing.B) {
	seed, w := large(b, 1000)
	lookup := seed.View().Lookup()
	for _, bench := range []struct {
		name   string
		object func(i int) v1alpha1.Object
	}{
		{"CreateCluster", func(i int) v1alpha1.Object { return cluster(fmt.Sprintf("new%d", i), "c3") }},
		{"CreateServicePolicy", func(i int) v1alpha1.Object {
			return policy(fmt.Sprintf("new%d", i), fmt.Sprintf("new%d", i), v1alpha1.FailoverTier{Scope: v1alpha1.ScopeRegion},
				v1alpha1.FailoverTier{Centers: []string{"c1", "c2"}})
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			commands := make([][]byte, b.N)
			for i := range commands {
				o := w.fresh(bench.object(i), lookup)
				commands[i] = encode(w.creation(v1alpha1.KindOf(o), o.GetName(), toJSON(o)))
			}
			f, _ := large(b, 1000)
			b.ReportAllocs()
			b.ResetTimer()
			for i, command := range commands { // b.Loop would not say beforehand how many it needs
				f.Apply(uint64(i+1), command)
			}
		})
	}
}

func BenchmarkUpdate(b *testing.B) {
	f, w := large(b, 1000)
	names := 1000
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		stored, _ := f.View().Get("Cluster", fmt.Sprintf("k%d", i%names))
		object := typed(stored)
		object.SetAnnotations(map[string]string{"n": fmt.Sprint(i)})
		command := encode(w.replacement("Cluster", object.GetName(), toJSON(object), stored.Revision))
		b.StartTimer()
		f.Apply(uint64(i+1), command)
	}
}

func BenchmarkSnapshot(b *testing.B) {
	f, _ := large(b, 10_000)
	whole := save(f)
	b.Run("Write", func(b *testing.B) {
		b.SetBytes(int64(len(whole)))
		for b.Loop() {
			s, _ := f.Snapshot()
			if _, err := s.WriteTo(io.Discard); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Restore", func(b *testing.B) {
		b.SetBytes(int64(len(whole)))
		for b.Loop() {
			if err := f.Restore(bytes.NewReader(whole)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// large is an FSM with 5 centers and n clusters and policies.
func large(tb testing.TB, n int) (*FSM, *author) {
	f, w := mustNew(Config{}), newAuthor(1)
	index := uint64(0)
	add := func(o v1alpha1.Object) {
		index++
		w.fresh(o, f.View().Lookup())
		r, err := DecodeResult(f.Apply(index, encode(w.creation(v1alpha1.KindOf(o), o.GetName(), toJSON(o)))))
		if err != nil || !r.OK {
			tb.Fatalf("%+v, %v", r, err)
		}
	}
	for i := range 5 {
		add(center(fmt.Sprintf("c%d", i), fmt.Sprintf("r%d", i/2), v1alpha1.CenterFull))
	}
	for i := range n {
		add(cluster(fmt.Sprintf("k%d", i), fmt.Sprintf("c%d", i%5)))
		add(policy(fmt.Sprintf("p%d", i), fmt.Sprintf("s%d", i), v1alpha1.FailoverTier{Scope: v1alpha1.ScopeCenter}))
	}
	return f, w
}

// BenchmarkUpdateCenter is the write that `make bench-etcd` makes: an object of 1 KiB with another annotation, among 128
// of its kind. Beside it is the floor: the standard library decodes the same objects, and a map keeps them.
func BenchmarkUpdateCenter(b *testing.B) {
	b.Run("Apply", func(b *testing.B) {
		f, w := large(b, 100)
		first := f.Revision()
		var entries [][]byte
		for _, command := range centerUpdates(f, w, b.N) {
			entries = append(entries, encode(command))
		}
		b.ReportAllocs()
		b.ResetTimer()
		for i, entry := range entries { // b.Loop would not say beforehand how many it needs
			f.Apply(uint64(i+2), entry)
		}
		b.StopTimer()
		if f.Revision() != first+uint64(benchObjects+b.N) {
			b.Fatal("not every update was accepted")
		}
	})
	b.Run("Floor", func(b *testing.B) {
		f, w := large(b, 100)
		commands := centerUpdates(f, w, b.N)
		objects := map[string]*v1alpha1.Center{}
		b.ReportAllocs()
		b.ResetTimer()
		for _, command := range commands {
			object := &v1alpha1.Center{}
			if err := json.Unmarshal(command.GetUpdate().GetValue(), object); err != nil {
				b.Fatal(err)
			}
			objects[object.Name] = object
		}
	})
}

const benchObjects = 128

// centerUpdates makes Centers of 1 KiB, and n updates of them.
func centerUpdates(f *FSM, w *author, n int) []*intentpb.Command {
	var all [benchObjects]*v1alpha1.Center
	for i := range all {
		all[i] = center(fmt.Sprintf("bench-%03d", i), "bench", v1alpha1.CenterFull)
		w.fresh(all[i], f.View().Lookup())
		all[i].ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "bench", Operation: "Update", FieldsType: "FieldsV1",
			APIVersion: v1alpha1.GroupVersion.String(), Time: &all[i].CreationTimestamp,
			FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:annotations":{".":{},"f:bench":{}}},"f:spec":{"f:region":{},"f:role":{}}}`)}}
		all[i].Annotations = map[string]string{"bench": ""}
		all[i].Annotations["bench"] = strings.Repeat("x", 1024-len(toJSON(all[i])))
		f.Apply(1, encode(w.creation("Center", all[i].Name, toJSON(all[i]))))
	}
	revision := f.Revision() - benchObjects
	commands := make([]*intentpb.Command, n)
	for i := range commands {
		o := all[i%benchObjects]
		o.Annotations["bench"] = fmt.Sprintf("%010d", i) + o.Annotations["bench"][10:]
		revision++
		commands[i] = w.replacement("Center", o.Name, toJSON(o), revision)
	}
	return commands
}
