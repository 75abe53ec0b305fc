package intent

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/unitization/switchover"
)

// later is when the tests' second lives begin.
var later = time.Unix(epoch+1000, 0)

func TestOpenWatchesEndWithTheirLife(t *testing.T) {
	l := twoLives(t, Config{})
	f := mustNew(Config{})
	if err := f.Restore(reader(l.file)); err != nil {
		t.Fatal(err)
	}
	cursor, err := f.Watch(v1alpha1.KindCenter, f.Revision())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Reincarnate(later, aServer("s1", 7), time.Second); err != nil {
		t.Fatal(err)
	}
	if _, _, err := cursor.Next(context.Background(), nil); !errors.Is(err, ErrCompacted) {
		t.Error(err)
	}
}

// An incarnation is above the last one whatever the clock says, and above what its counter has run into.
func TestIncarnationsOnlyGrow(t *testing.T) {
	l := twoLives(t, Config{})
	f := mustNew(Config{})
	if err := f.Restore(reader(l.file)); err != nil {
		t.Fatal(err)
	}
	last := f.Incarnation()
	for _, c := range []struct {
		now  time.Time
		want uint64
	}{
		{time.Unix(epoch+50, 0), epoch + 50}, {time.Unix(epoch+50, 999), epoch + 51}, {time.Unix(1, 0), epoch + 52},
		{time.Unix(-1, 0), epoch + 53},
	} {
		if err := f.Reincarnate(c.now, aServer("s1", 7), time.Second); err != nil || f.Incarnation() != c.want {
			t.Errorf("%v: incarnation %d after %d, want %d: %v", c.now, f.Incarnation(), last, c.want, err)
		}
		last = f.Incarnation()
	}
	f.state.revision = (last + 3) << revisionBits // after two thousand million changes, thrice
	if err := f.Reincarnate(time.Unix(1, 0), aServer("s1", 7), time.Second); err != nil || f.Incarnation() != last+4 {
		t.Errorf("incarnation %d: %v", f.Incarnation(), err)
	}
}

func TestABadSecondLifeChangesNothing(t *testing.T) {
	f := mustNew(Config{})
	if err := f.Restore(reader(twoLives(t, Config{}).file)); err != nil {
		t.Fatal(err)
	}
	before := save(f)
	old := aServer("s1", 7)
	old.Level = 1
	for name, err := range map[string]error{
		"no folder":       f.Reincarnate(later, &intentpb.Server{Name: "s1"}, time.Second),
		"a build of old":  f.Reincarnate(later, old, time.Second),
		"no wait":         f.Reincarnate(later, aServer("s1", 7), 0),
		"too long a wait": f.Reincarnate(later, aServer("s1", 7), 2*LongestPermit),
		"a clock of 2120": f.Reincarnate(time.Unix(1<<32, 0), aServer("s1", 7), time.Second),
	} {
		if !errors.Is(err, ErrReincarnate) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !bytes.Equal(before, save(f)) {
		t.Error("the state has changed")
	}
}

// TestASecondLifeIsReconciled by commands, as leader and agents propose them, on replicas that come from its snapshot.
func TestASecondLifeIsReconciled(t *testing.T) {
	l := twoLives(t, Config{})
	f, err := l.again()
	if err != nil {
		t.Fatal(err)
	}
	e := &estate{t: t, FSM: mustNew(Config{}), author: newAuthor(9)}
	if err := e.Restore(reader(save(f))); err != nil {
		t.Fatal(err)
	}
	report := func() *intentpb.StoreReports {
		batch := &intentpb.StoreReports{}
		o := e.View().Ownership()
		for name, r := range o.Restored.Recoveries {
			order := o.Stores[name].Order
			for _, member := range o.Stores[name].Members {
				if r.Phase < switchover.PhaseFencing || order.Member != "" && order.Member != member {
					continue
				}
				batch.Reports = append(batch.Reports, &intentpb.StoreReport{
					Store: name, Member: member, SwitchoverUid: order.UID, Step: uint32(order.Step), Token: order.Token,
					PositionEpoch: 3, PositionIndex: 8, Primary: member == "sz-a", Before: 77,
				})
			}
		}
		return batch
	}
	before := e.Revision()
	e.must(e.transition(&intentpb.Reconcile{Term: 4}))
	if e.Revision() == before {
		t.Error("nobody is told that the wait is over")
	}
	e.must(e.transition(report()))
	e.must(e.transition(&intentpb.Reconcile{Term: 4, Stores: []string{"orders-rz01", "orders-rz02", "unknown"}}))
	e.must(e.transition(report()))
	e.must(e.transition(report()))
	o := e.View().Ownership()
	for name, s := range o.Stores {
		if !s.Accepting || s.Primary != "sz-a" {
			t.Errorf("store %s: %+v", name, s)
		}
	}
	if r, _ := o.MapAt("users", 7); r.Frozen || o.Restored == nil { // the unit without a store is left
		t.Errorf("%+v, %+v", r, o.Restored)
	}
	if r, _ := o.MapAt("shared", 0); !r.Frozen {
		t.Errorf("%+v", r)
	}
	if err := coherent(e.FSM); err != nil {
		t.Error(err)
	}
	for _, c := range []*intentpb.Reconcile{{}, {Term: 1, Stores: []string{""}}, {Term: 1, Stores: make([]string, MaxBatch+1)}} {
		if _, err := Encode(e.transition(c)); !errors.Is(err, ErrCommand) {
			t.Errorf("%v: %v", c.GetTerm(), err)
		}
	}
}

// FuzzTwinsThroughASnapshot: random commands on twins, the second of which is made from a snapshot in the middle, where
// both may begin another life.
func FuzzTwinsThroughASnapshot(f *testing.F) {
	f.Add(uint64(1), uint8(20), uint8(20), false)
	f.Add(uint64(2), uint8(60), uint8(40), true)
	f.Add(uint64(3), uint8(200), uint8(1), true)
	f.Fuzz(func(t *testing.T, seed uint64, before, after uint8, reborn bool) {
		w := newTraffic(seed)
		w.units, w.members = true, seed%2 == 0
		first, second := mustNew(Config{}), mustNew(Config{})
		index := uint64(0)
		step := func() []byte {
			index++
			c, _ := w.one(first.View())
			answer := first.Apply(index, c)
			if second.Incarnation() > 0 && !bytes.Equal(answer, second.Apply(index, c)) {
				t.Fatalf("entry %d: the twins answer differently", index)
			}
			return answer
		}
		for range before {
			step()
		}
		if before == 0 {
			return
		}
		if err := second.Restore(reader(save(first))); err != nil {
			t.Fatal(err)
		}
		revision, epoch := first.Revision(), first.View().Ownership().Epoch
		if reborn {
			for _, twin := range []*FSM{first, second} {
				if err := twin.Reincarnate(later, aServer("s1", 7), time.Minute); err != nil {
					t.Fatal(err)
				}
			}
			if first.Revision() <= revision || first.View().Ownership().Epoch <= epoch {
				t.Fatalf("revision %d after %d", first.Revision(), revision)
			}
		}
		for range after {
			step()
		}
		if !bytes.Equal(save(first), save(second)) {
			t.Fatal("the twins' snapshots differ")
		}
		if err := coherent(first); err != nil {
			t.Fatal(err)
		}
	})
}
