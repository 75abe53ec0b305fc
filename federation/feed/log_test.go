package feed

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func change(key, value string) Change { return Change{Kind: "k", Key: key, Value: []byte(value)} }

func gone(key string) Change { return Change{Kind: "k", Key: key} }

func begun(t *testing.T, o Options, whole ...Change) *Log {
	t.Helper()
	l := NewLog("c/x", Filter{}, o)
	if _, err := l.Begin(1, whole); err != nil {
		t.Fatal(err)
	}
	return l
}

func show(b Batch) string {
	s := fmt.Sprintf("%s-%s", b.From, b.To)
	if b.Reset {
		s += " reset"
	}
	for _, r := range b.Records {
		s += " " + r.Key + "=" + string(r.Value)
	}
	return s
}

func TestReaderSeesEachChangedKeyOnceInItsLatestVersion(t *testing.T) {
	l := begun(t, Options{}, change("a", "1"), change("b", "1"))
	c := l.Cursor(Position{})
	defer c.Close()
	var got []string
	next := func() {
		if b, ok := c.Next(); ok {
			got = append(got, show(b))
		} else {
			got = append(got, "nothing")
		}
	}
	next()
	next()
	l.Commit(change("a", "2"), change("c", "1"))
	l.Commit(change("a", "3"))
	l.Commit(gone("b"))
	next()
	l.Commit(change("a", "3"), gone("b"), gone("never")) // no change
	next()
	l.Begin(2, []Change{change("z", "1")})
	next()
	want := []string{
		"0.0-1.1 reset a=1 b=1", "nothing", "1.1-1.4 c=1 a=3 b=", "nothing", "1.4-2.1 reset z=1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestReaderBeforeTheNewestDroppedTombstoneGetsReset(t *testing.T) {
	l := begun(t, Options{Tombstones: TombstonePolicy{MaxCount: 1}}, change("a", "1"), change("b", "1"), change("c", "1"))
	l.Commit(gone("a"))
	at := l.Position()
	l.Commit(gone("b"))
	if l.Floor() != at {
		t.Errorf("floor %s, want %s", l.Floor(), at)
	}
	old, exact := l.Cursor(Position{1, 1}), l.Cursor(at)
	if b, _ := old.Next(); show(b) != "1.1-1.3 reset c=1 b=" {
		t.Errorf("before the floor: %s", show(b))
	}
	if b, _ := exact.Next(); show(b) != "1.2-1.3 b=" {
		t.Errorf("at the floor: %s", show(b))
	}
}

func TestTombstonesAreForgottenByAge(t *testing.T) {
	var now time.Duration
	l := begun(t, Options{Tombstones: TombstonePolicy{MaxAge: time.Minute}, Now: func() time.Duration { return now }},
		change("a", "1"), change("b", "1"))
	l.Commit(gone("a"))
	now = time.Minute - 1
	l.Commit(change("b", "2"))
	if l.Status().Tombstones != 1 {
		t.Error("forgotten too early")
	}
	now = time.Minute
	l.Commit(change("b", "3"))
	if l.Status().Tombstones != 0 || l.Floor() != (Position{1, 2}) {
		t.Errorf("tombstones %d, floor %s", l.Status().Tombstones, l.Floor())
	}
}

func TestKeyThatComesAndGoesLeavesNoTombstonesBehind(t *testing.T) {
	l := begun(t, Options{})
	for range 1000 {
		l.Commit(change("a", "1"))
		l.Commit(gone("a"))
	}
	if n := len(l.table.dead.queue); n > 50 || l.Status().Tombstones != 1 {
		t.Errorf("%d queued, %d tombstones", n, l.Status().Tombstones)
	}
}

func TestWriterNeverGoesBack(t *testing.T) {
	l := NewLog("c/x", Filter{}, Options{})
	if _, err := l.Commit(change("a", "1")); !errors.Is(err, ErrNotWriter) {
		t.Errorf("commit before begin: %v", err)
	}
	l.state(Position{7, 3})
	if _, err := l.Begin(7, nil); !errors.Is(err, ErrPosition) {
		t.Errorf("begin at what a reader holds: %v", err)
	}
	if _, err := l.Begin(8, nil); err != nil {
		t.Error(err)
	}
	if err := l.CommitAt(Position{8, 1}); !errors.Is(err, ErrPosition) {
		t.Errorf("commit at the held position: %v", err)
	}
	if _, err := l.Commit(Change{"k", "a", make([]byte, MaxValue+1)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("large value: %v", err)
	}
	l.Resign()
	if _, err := l.Commit(change("a", "1")); !errors.Is(err, ErrNotWriter) {
		t.Errorf("commit after resigning: %v", err)
	}
}

func TestIntentWriterMovesToItsRevisions(t *testing.T) {
	l := NewLog(IntentID, Filter{}, Options{})
	c := l.Cursor(Position{})
	for _, step := range []error{
		l.CommitAt(Position{3, 5}, change("a", "1")), l.CommitAt(Position{3, 9}), l.CommitAt(Position{3, 12}, gone("a")),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	b, _ := c.Next()
	if show(b) != "0.0-3.12 reset a=" {
		t.Error(show(b))
	}
	if err := l.CommitAt(Position{4, 13}); !errors.Is(err, ErrPosition) {
		t.Errorf("another incarnation: %v", err)
	}
	if err := l.Restart(Position{4, 13}, []Change{change("b", "1")}); err != nil {
		t.Fatal(err)
	}
	if b, _ := c.Next(); show(b) != "3.12-4.13 reset b=1" || l.Floor() != (Position{4, 13}) {
		t.Errorf("%s, floor %s", show(b), l.Floor())
	}
}

func TestSealDependsOnContentOnly(t *testing.T) {
	a := begun(t, Options{}, change("a", "1"), change("b", "2"))
	b := NewLog("c/x", Filter{}, Options{})
	b.Begin(9, []Change{change("b", "1"), change("c", "3")})
	b.Commit(change("a", "1"))
	if a.Digest() == b.Digest() {
		t.Error("different content, one seal")
	}
	b.Commit(change("b", "2"), gone("c"))
	if a.Digest() != b.Digest() {
		t.Error("one content, different seals")
	}
	a.Commit(gone("a"), gone("b"))
	if a.Digest() != 0 {
		t.Errorf("empty, seal %s", a.Digest())
	}
	swapped := begun(t, Options{}, change("a", "2"), change("b", "1"))
	if b.Digest() == swapped.Digest() {
		t.Error("swapped values have one seal")
	}
}

func TestNextIncarnationIsAboveEverything(t *testing.T) {
	const ms = 1_700_000_000_000
	for _, c := range []struct {
		now         int64
		used, heard uint64
	}{{ms, 0, 0}, {ms, (ms + 5) << 20, 0}, {ms, 0, (ms+9)<<20 | 1<<20 - 1}, {-1, 0, 0}} {
		for _, rnd := range []uint64{0, 1<<64 - 1} {
			got := NextIncarnation(c.now, c.used, c.heard, rnd)
			if got <= c.used || got <= c.heard || got>>20 <= uint64(max(c.now, 0)) {
				t.Errorf("%+v: %d", c, got)
			}
		}
	}
	if got := IncarnationTime(NextIncarnation(ms, 0, 0, 7)); got.UnixMilli() != ms+1 {
		t.Errorf("time %s", got)
	}
}

func TestFilterMatchesPathsAndCovers(t *testing.T) {
	f := NewFilter([]string{"S", "E"}, []string{"orders", "a/b"})
	for key, want := range map[string]bool{
		"orders": true, "orders/1": true, "orders-old": false, "a": false, "a/b": true, "a/b/c/d": true, "a/bc": false,
	} {
		if f.Matches("E", key) != want || f.Matches("X", key) {
			t.Errorf("%s: want %t", key, want)
		}
	}
	all := Filter{}
	for _, c := range []struct {
		f, g Filter
		want bool
	}{
		{all, f, true}, {f, all, false}, {f, f, true}, {f, NewFilter([]string{"S"}, []string{"orders/1"}), true},
		{f, NewFilter([]string{"S"}, nil), false}, {NewFilter([]string{"S"}, nil), f, false},
		{NewFilter(nil, []string{"orders"}), NewFilter([]string{"Z"}, []string{"orders/x", "orders"}), true},
	} {
		if c.f.Covers(c.g) != c.want {
			t.Errorf("%s covers %s: want %t", c.f, c.g, c.want)
		}
	}
}

// TestCursorsAgreeUnderConcurrentWriters runs readers against goroutines that write, for the race detector; the
// simulator judges the order.
func TestCursorsAgreeUnderConcurrentWriters(t *testing.T) {
	l := begun(t, Options{Tombstones: TombstonePolicy{MaxCount: 2}})
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for r := range 8 {
		c := l.Cursor(Position{})
		readers.Go(func() {
			defer c.Close()
			shown := map[string]string{}
			for done := false; !done; {
				select {
				case <-stop:
					done = true
				case <-c.Wake():
				}
				if r%2 == 0 {
					time.Sleep(time.Duration(r) * 100 * time.Microsecond)
				}
				for b, ok := c.Next(); ok; b, ok = c.Next() {
					if b.Reset {
						clear(shown)
					}
					for _, rec := range b.Records {
						if shown[rec.Key] = string(rec.Value); rec.Value == nil {
							delete(shown, rec.Key)
						}
					}
				}
				if shown["left"] != shown["right"] {
					t.Errorf("half a commit: %v", shown)
				}
			}
			for rec := range l.All() {
				if shown[rec.Key] != string(rec.Value) {
					t.Errorf("reader %d ends with %s=%s, the log with %s", r, rec.Key, shown[rec.Key], rec.Value)
				}
			}
		})
	}
	for w := range 4 {
		writers.Go(func() {
			for i := range 500 {
				v := fmt.Sprint(w, i)
				l.Commit(change("left", v), change("right", v), change(fmt.Sprint(w), v))
				l.Commit(gone(fmt.Sprint(w)))
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
}

func TestPositionIsTextInJSON(t *testing.T) {
	for text, want := range map[string]Position{"0.0": {}, "18446744073709551615.7": {1<<64 - 1, 7}} {
		var p Position
		if err := p.UnmarshalText([]byte(text)); err != nil || p != want {
			t.Errorf("%s: %s, %v", text, p, err)
		}
		if b, _ := p.MarshalText(); string(b) != text {
			t.Errorf("%s becomes %s", text, b)
		}
	}
	for _, bad := range []string{"", "1", "1.", "1.2.3", "a.b", "-1.2", "1.2 "} {
		if err := new(Position).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
