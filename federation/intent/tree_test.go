package intent

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestTree changes trees at random, and looks at each of them again when all changes are made: none has changed since.
func TestTree(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	type picture struct {
		tree tree[int]
		want map[string]int
	}
	now := picture{want: map[string]int{}}
	var all []picture
	for i := range 4000 {
		name := fmt.Sprint("k", rnd.IntN(300))
		want := maps.Clone(now.want)
		was, there := want[name]
		if grows := i/700%2 == 0; rnd.IntN(10) < 7 == grows {
			next, prev, replaced := now.tree.with(name, i)
			if replaced != there || prev != was {
				t.Fatalf("change %d: replaced %d, %v, want %d, %v", i, prev, replaced, was, there)
			}
			now.tree, want[name] = next, i
		} else {
			now.tree = now.tree.without(name)
			delete(want, name)
		}
		now.want = want
		all = append(all, now)
	}
	for i, p := range all {
		start := fmt.Sprint("k", rnd.IntN(300))
		names := slices.Sorted(maps.Keys(p.want))
		from, _ := slices.BinarySearch(names, start)
		var got []string
		p.tree.from(start, func(name string, value int) bool {
			if found, ok := p.tree.get(name); !ok || found != value || value != p.want[name] {
				t.Fatalf("tree %d: %s is %d, found %d, want %d", i, name, value, found, p.want[name])
			}
			got = append(got, name)
			return len(got) < 200
		})
		if want := names[from:]; p.tree.Len() != len(names) || !slices.Equal(got, want[:min(200, len(want))]) {
			t.Fatalf("tree %d of %d, from %s: %q, want %q of %d", i, p.tree.Len(), start, got, want, len(names))
		}
		if _, ok := p.tree.get("none"); ok {
			t.Fatalf("tree %d has a key that nobody set", i)
		}
	}
}
