package feed

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
)

// meter counts what a wired pair moves.
type meter struct{ records, bytes, resets, closes int }

// metered moves everything as settle does, and counts.
func (w *wired) metered() meter {
	w.t.Helper()
	var m meter
	for range 10000 {
		for out := w.r.next(); out != nil; out = w.r.next() {
			m.bytes += proto.Size(out)
			if out.GetClose() != nil {
				m.closes++
			}
			if err := w.s.handle(out); err != nil {
				w.t.Fatal(err)
			}
		}
		in := w.s.next()
		if in == nil {
			return m
		}
		m.bytes += proto.Size(in)
		m.records += len(in.GetFrame().GetRecords())
		if in.GetFrame().GetReset_() {
			m.resets++
		}
		w.handle(in)
	}
	w.t.Fatal("never comes to rest")
	return m
}

func manyChanges(n int, skip map[int]bool) (whole []Change) {
	for i := range n {
		if !skip[i] {
			whole = append(whole, Change{"EndpointSlice", fmt.Sprintf("s%d/0", i), []byte(strings.Repeat(fmt.Sprint(i%10), 200))})
		}
	}
	return whole
}

// among puts changes among so many others that each is in a bucket of its own.
func among(changes ...Change) []Change { return append(manyChanges(200, nil), changes...) }

// shows is "" if the copy shows what l does, of what filter names.
func shows(l *Log, set *Set, f Filter) string {
	c, ok := set.Get(l.ID())
	want := contents(l)
	maps.DeleteFunc(want, func(k [2]string, _ string) bool { return !f.Matches(k[0], k[1]) })
	switch {
	case !ok || c.Position() != l.Position():
		return fmt.Sprintf("at %v, the writer at %s", c, l.Position())
	case !maps.Equal(contents(c), want):
		return fmt.Sprintf("%d records, the writer has %d, or they differ", c.Len(), len(want))
	}
	return ""
}

// digestStories are what rule 15 is for and how it may be misread; each must pass, and must fail with its rule broken.
var digestStories = []struct {
	name   string
	broken breakage
	tell   func(t *testing.T, o Options) string
}{
	{"a new incarnation moves only what differs", digestCoversAt, func(t *testing.T, o Options) string {
		w := wire(t, o)
		l := w.from.Log("c/x")
		l.Begin(1, manyChanges(2000, nil))
		w.connect()
		w.r.open("c/x", Filter{})
		whole := w.metered()
		l.Begin(2, append(manyChanges(2000, map[int]bool{7: true, 9: true}), Change{"EndpointSlice", "s9/0", []byte("new")}))
		w.connect()
		w.r.open("c/x", Filter{})
		again := w.metered()
		consistent(t, w.to.Log("c/x"))
		if wrong := shows(l, w.to, Filter{}); wrong != "" {
			return wrong
		}
		t.Logf("whole: %+v, what differs: %+v", whole, again)
		if again.resets != 1 || again.records > 40 || again.bytes*20 > whole.bytes {
			return fmt.Sprintf("two records changed, moved %+v, the whole set is %+v", again, whole)
		}
		return ""
	}},
	{"a filter that grows moves only what is new", digestCoversAt, func(t *testing.T, o Options) string {
		w := wire(t, o)
		l := w.from.Log("c/x")
		l.Begin(1, manyChanges(1000, nil))
		var keys []string
		for i := range 500 {
			keys = append(keys, fmt.Sprintf("s%d", i))
		}
		small, large := NewFilter(nil, keys), NewFilter(nil, append(keys, "s700"))
		w.connect()
		w.r.open("c/x", small)
		whole := w.metered()
		l.Begin(2, manyChanges(1000, nil)) // so that positions of records differ, too
		w.r.open("c/x", large)
		again := w.metered()
		consistent(t, w.to.Log("c/x"))
		if wrong := shows(l, w.to, large); wrong != "" {
			return wrong
		}
		if again.records > 40 || whole.records != 500 {
			return fmt.Sprintf("one record more, moved %+v, before %+v", again, whole)
		}
		w.r.open("c/x", NewFilter(nil, keys[:10])) // and one that shrinks moves nothing
		if less := w.metered(); less.records > 0 || shows(l, w.to, NewFilter(nil, keys[:10])) != "" {
			return fmt.Sprintf("fewer records, moved %+v", less)
		}
		return ""
	}},
	{"a kept bucket that changed meanwhile is not kept", keptNotCompared, func(t *testing.T, o Options) string {
		w := wire(t, o)
		l, other := w.from.Log("c/x"), wire(t, o).from
		l.Begin(1, among(change("a", "1"), change("b", "1")))
		w.connect()
		w.r.open("c/x", Filter{})
		w.settle()
		old := other.Log("c/x")
		old.Begin(1, among(change("a", "1"), change("b", "1")))
		old.Commit(change("a", "9"))
		l.Begin(2, among(change("a", "1"), change("b", "2")))
		w.connect()
		w.r.open("c/x", Filter{})
		w.back() // the sender knows the digests now
		second := &wired{t: t, from: other, to: w.to}
		second.connect()
		second.r.open("c/x", Filter{})
		second.settle()
		w.settle()
		return shows(l, w.to, Filter{})
	}},
	{"after a reset that kept a bucket its reader's deletion is not forgotten", keptFloorNotRaised,
		func(t *testing.T, o Options) string {
			w := wire(t, o)
			l := w.from.Log("c/x")
			l.Begin(1, among(change("a", "1"), change("b", "1"), change("c", "1")))
			w.connect()
			w.r.open("c/x", Filter{})
			w.settle() // the copy is at 1.1
			reader := wire(t, o).to
			l.Begin(2, among(change("a", "1"), change("b", "1"), change("c", "1")))
			direct := &wired{t: t, from: w.from, to: reader}
			direct.connect()
			direct.r.open("c/x", Filter{})
			direct.settle() // the reader is at 2.1
			l.Commit(gone("b"))
			w.connect()
			w.r.open("c/x", Filter{})
			w.settle() // the copy gets a reset to 2.2 that keeps what it had but b
			next := &wired{t: t, from: w.to, to: reader}
			next.connect()
			next.r.open("c/x", Filter{})
			next.settle()
			return shows(l, reader, Filter{})
		}},
	{"digests serve the first batch only", digestsServeLater, func(t *testing.T, o Options) string {
		o.Tombstones = TombstonePolicy{MaxCount: -1}
		w := wire(t, o)
		l := w.from.Log("c/x")
		l.Begin(1, among(change("a", "1"), change("b", "1"), change("c", "1")))
		w.connect()
		w.r.open("c/x", Filter{})
		w.settle()
		w.connect()
		w.r.open("c/x", Filter{})
		w.settle()
		l.Commit(change("a", "2"))
		first := w.metered()
		l.Commit(change("a", "1"))
		l.Commit(gone("b")) // its tombstone is dropped at once: a reset
		later := w.metered()
		if wrong := shows(l, w.to, Filter{}); wrong != "" {
			return wrong
		}
		if first.closes != 0 || later.closes != 0 || later.resets != 1 {
			return fmt.Sprintf("a batch was refused: %+v", later)
		}
		return ""
	}},
}

func TestDigestsMoveOnlyWhatDiffers(t *testing.T) {
	for _, s := range digestStories {
		t.Run(s.name, func(t *testing.T) {
			each := 8
			if s.broken != digestCoversAt {
				each = 1
			}
			if wrong := s.tell(t, Options{bucketRecords: each, broken: sealNotCompared}); wrong != "" {
				t.Errorf("without seals: %s", wrong)
			}
			if wrong := s.tell(t, Options{bucketRecords: each}); wrong != "" {
				t.Errorf("with seals: %s", wrong)
			}
			planted := s.tell(t, Options{bucketRecords: each, broken: sealNotCompared | s.broken})
			if planted == "" {
				t.Error("the planted bug is not found")
			}
			t.Logf("planted: %s", planted)
		})
	}
}

// TestRestartFromDiskMovesOnlyWhatDiffers reconnects from the snapshot: digests are of what was read.
func TestRestartFromDiskMovesOnlyWhatDiffers(t *testing.T) {
	dir := t.TempDir()
	w := wire(t, Options{})
	w.to = open(t, dir, nil)
	l := w.from.Log("c/x")
	l.Begin(1, manyChanges(1000, nil))
	w.connect()
	w.r.open("c/x", Filter{})
	w.settle()
	if err := w.to.Save("c/x"); err != nil {
		t.Fatal(err)
	}
	l.Commit(Change{"EndpointSlice", "s5/0", []byte("new")})
	w.to = open(t, dir, nil)
	w.connect()
	w.r.open("c/x", Filter{})
	if m := w.metered(); m.records != 1 || m.resets != 0 {
		t.Errorf("a delta moved %+v", m)
	}
	w.to = open(t, dir, nil)
	l.Begin(2, append(manyChanges(1000, map[int]bool{5: true}), Change{"EndpointSlice", "s5/0", []byte("newer")}))
	w.connect()
	w.r.open("c/x", Filter{})
	if m := w.metered(); m.records > 20 || m.resets != 1 {
		t.Errorf("a reset moved %+v", m)
	}
	if !equal(l, w.to) {
		t.Error("not equal")
	}
	// What it kept it saves and reads again.
	if err := w.to.Save("c/x"); err != nil {
		t.Fatal(err)
	}
	if !equal(l, open(t, dir, nil)) {
		t.Error("not equal from disk")
	}
}

func TestRepairMovesOnlyTheBrokenBucket(t *testing.T) {
	w := wire(t, Options{})
	l := w.from.Log("c/x")
	l.Begin(1, manyChanges(1000, nil))
	w.connect()
	w.r.open("c/x", Filter{})
	w.settle()
	c := w.to.Log("c/x")
	c.mu.Lock() // a bug loses a record
	n := c.table.root.next
	delete(c.table.kinds[n.Kind].keys, n.Key)
	c.table.unlink(n)
	c.mu.Unlock()
	w.s.tick()
	w.s.tick()
	if m := w.metered(); m.records == 0 || m.records > 20 || m.resets != 1 {
		t.Errorf("moved %+v", m)
	}
	if !equal(l, w.to) {
		t.Error("not mended")
	}
}
