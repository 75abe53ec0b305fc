package consensus

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft-wal/types"
)

// cutAfter makes the file system fail everything from its nth change on, as a power cut would.
func cutAfter(m *memFS, n int) {
	var count atomic.Int64 // a leader's own sync changes the disk beside what follows it
	m.setHook(func(string, string) error {
		if count.Add(1) > int64(n) {
			return errPowerCut
		}
		return nil
	})
}

func metaVote(t *testing.T, m *metaStore) string {
	t.Helper()
	v, err := m.GetStable([]byte("vote"))
	if err != nil {
		t.Fatal(err)
	}
	return string(v)
}

// A power cut at any instant of a commit, and again at any instant of the recovery from it, leaves the old content or
// the new one, and the new one if it was acknowledged.
func TestMetaStoreIsOldOrNewAfterPowerCuts(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		vfs := newMemFS()
		m, err := createMetaStore(vfs, "")
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]bool{"": true} // what may be found
		for life := range 6 {
			value := fmt.Sprintf("n%d %s", life, strings.Repeat(fmt.Sprint(life), rnd.IntN(1500)))
			cutAfter(vfs, rnd.IntN(6))
			if m.SetStable([]byte("vote"), []byte(value)) == nil {
				want = map[string]bool{value: true}
			} else {
				want[value] = true
			}
			vfs.powerCut(rnd)
			for again := rnd.IntN(3); again > 0; again-- {
				cutAfter(vfs, rnd.IntN(5))
				if m, err := openMetaStore(vfs, ""); err == nil {
					// Found and mended: nothing else may be found from now on.
					want = map[string]bool{metaVote(t, m): want[metaVote(t, m)]}
				}
				vfs.powerCut(rnd)
			}
			if m, err = openMetaStore(vfs, ""); err != nil {
				t.Fatalf("seed %d life %d: %v", seed, life, err)
			}
			got := metaVote(t, m)
			if !want[got] {
				t.Fatalf("seed %d life %d: found %.10q, want one of %d", seed, life, got, len(want))
			}
			want = map[string]bool{got: true}
		}
	}
}

func TestMetaStoreSurvivesARottenCopy(t *testing.T) {
	vfs := newMemFS()
	m, err := createMetaStore(vfs, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{"old", "new"} {
		if err := m.SetStable([]byte("vote"), []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	size := len(strings.TrimRight(string(vfs.files[metaNames[0]].now), "\x00"))
	for _, name := range metaNames {
		for at := range size {
			bad := vfs.clone()
			bad.files[name].now[at] ^= 1 << (at % 8)
			m, err := openMetaStore(bad, "")
			if err != nil {
				t.Fatalf("%s byte %d flipped: %v", name, at, err)
			}
			if got := metaVote(t, m); got != "new" {
				t.Fatalf("%s byte %d flipped: vote %q, want new", name, at, got)
			}
			// The rotten copy was mended: now the other one may rot.
			for _, other := range metaNames {
				if other != name {
					bad.files[other].now[at] ^= 1 << (at % 8)
				}
			}
			if m, err = openMetaStore(bad, ""); err != nil || metaVote(t, m) != "new" {
				t.Fatalf("%s byte %d flipped, mended, then the other: %v", name, at, err)
			}
		}
	}
	for _, name := range metaNames {
		vfs.files[name].now[metaHead] ^= 1
	}
	if _, err := openMetaStore(vfs, ""); err == nil {
		t.Error("two rotten copies were accepted")
	}
}

// A commit that failed half-way must not be followed by one that leaves no whole copy if it is cut.
func TestMetaStoreNeverWritesItsOnlyWholeCopy(t *testing.T) {
	for seed := range uint64(50) {
		vfs := newMemFS()
		m, err := createMetaStore(vfs, "")
		if err != nil {
			t.Fatal(err)
		}
		set := func(value string) error {
			return m.SetStable([]byte("vote"), []byte(strings.Repeat(value, 200)))
		}
		if err := set("first"); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{metaNames[1], metaNames[0]} { // the second commit should not come to the first file
			vfs.setHook(func(op, name string) error {
				if op == "write" && name == file {
					return errPowerCut
				}
				return nil
			})
			set("with " + file + " failing")
		}
		vfs.powerCut(rand.New(rand.NewPCG(seed, 4)))
		if _, err = openMetaStore(vfs, ""); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func TestMetaStoreKeepsSegmentsAndStableApart(t *testing.T) {
	vfs := newMemFS()
	m, err := createMetaStore(vfs, "")
	if err != nil {
		t.Fatal(err)
	}
	state := types.PersistentState{NextSegmentID: 7, Segments: []types.SegmentInfo{{ID: 6, BaseIndex: 100}}}
	if err := m.CommitState(state); err != nil {
		t.Fatal(err)
	}
	if err := m.SetStable([]byte("vote"), []byte("n1")); err != nil {
		t.Fatal(err)
	}
	if m, err = openMetaStore(vfs, ""); err != nil {
		t.Fatal(err)
	}
	got, err := m.Load("")
	if err != nil {
		t.Fatal(err)
	}
	if got.NextSegmentID != 7 || len(got.Segments) != 1 || got.Segments[0].BaseIndex != 100 || metaVote(t, m) != "n1" {
		t.Errorf("found %+v and vote %q", got, metaVote(t, m))
	}
}

// Whatever stands in the file that holds the term, the vote and the enrolment, it is read or refused.
func FuzzMeta(f *testing.F) {
	vfs := newMemFS()
	m, err := createMetaStore(vfs, "")
	if err != nil {
		f.Fatal(err)
	}
	if err := m.SetStable(enrolmentKey, []byte(`{"cluster":"7d444840-9dc0-11d1-b245-5ffdce74fad2","roster":{"n1":""}}`)); err != nil {
		f.Fatal(err)
	}
	whole := vfs.content()[metaNames[0]]
	f.Add([]byte(whole)[:200])
	f.Add([]byte(whole)[:metaHead])
	f.Add([]byte("PNTDMET1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		vfs := newMemFS()
		vfs.files[metaNames[0]] = &memFile{now: b}
		gen, content, err := readMeta(vfs, "", metaNames[0])
		if err != nil && (gen != 0 || content.Stable != nil) {
			t.Errorf("refused (%v), and still generation %d", err, gen)
		}
		if err == nil && content.Stable == nil {
			t.Error("accepted without content")
		}
	})
}
