package intent

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/unitization/switchover"
)

// twins are two replicas of one log. The second is now and then rebuilt from a snapshot: of its own, or, after it
// missed entries, of the first's.
type twins struct {
	config Config
	*traffic
	first, second *FSM
	index         uint64
	// lag is how many entries more the second misses before it gets a snapshot.
	lag     int
	answers map[string][]byte
	// accepted counts the first's; phases those that switchovers entered, unless it is nil.
	accepted int
	phases   map[switchover.Phase]int
	readers  [2]*feedReader
	ledger   *ledger
}

func newTwins(seed uint64, config Config) *twins {
	w := &twins{config: config, traffic: newTraffic(seed), first: mustNew(config), second: mustNew(config),
		answers: map[string][]byte{}, ledger: newLedger()}
	w.readers = [2]*feedReader{newFeedReader(w.first.Feed()), newFeedReader(w.second.Feed())}
	return w
}

// run applies commands, and returns the first contradiction.
func (w *twins) run(steps int) error {
	for range steps {
		if err := w.step(); err != nil {
			return fmt.Errorf("entry %d: %w", w.index, err)
		}
	}
	if err := w.catchUp(); err != nil {
		return err
	}
	return w.compare()
}

func (w *twins) step() error {
	w.index += uint64(1 + w.rnd.IntN(2)) // entries that are no commands lie between
	before := w.first.View()
	command, again := w.one(before)
	result := w.first.Apply(w.index, command)
	if err := w.judge(before, command, result, again); err != nil {
		return err
	}
	switch {
	case w.lag > 1:
		w.lag--
		return nil
	case w.lag == 1 || chance(w.rnd, 40):
		if err := w.catchUp(); err != nil {
			return err
		}
	default:
		if got := w.second.Apply(w.index, command); !bytes.Equal(got, result) {
			return fmt.Errorf("the replicas answer %x and %x", result, got)
		}
		if chance(w.rnd, 60) {
			w.lag = 1 + w.rnd.IntN(10)
			return nil
		}
	}
	for i, f := range []*FSM{w.first, w.second} {
		if chance(w.rnd, 6) {
			if err := coherent(f); err != nil {
				return err
			}
		}
		if chance(w.rnd, 3) {
			w.readers[i].read(w.rnd.IntN(3))
		}
	}
	if chance(w.rnd, 10) {
		return w.compare()
	}
	return nil
}

// catchUp gives the second a snapshot of the first, in place or in a new process.
func (w *twins) catchUp() error {
	w.lag = 0
	if chance(w.rnd, 2) {
		w.second = mustNew(w.config)
		w.readers[1] = newFeedReader(w.second.Feed())
	}
	return w.second.Restore(bytes.NewReader(save(w.first)))
}

// judge checks a result of the first against what rules 6 and 7 say.
func (w *twins) judge(before View, command, encoded []byte, again bool) error {
	result, err := DecodeResult(encoded)
	if err != nil {
		return err
	}
	after := w.first.Revision()
	if again {
		if was := w.answers[string(command)]; !bytes.Equal(was, encoded) || after != before.Revision() {
			return fmt.Errorf("a retry was answered %x, first %x; revision %d became %d", encoded, was, before.Revision(), after)
		}
		return nil
	}
	w.answers[string(command)] = encoded
	base := before.Revision()
	if base == emptyRevision {
		base = epoch << revisionBits
	}
	if !result.OK {
		if after != base {
			return fmt.Errorf("a command that was not accepted moved the revision from %d to %d", base, after)
		}
		return nil
	}
	if result.Revision != after {
		return fmt.Errorf("revision %d was followed by %d, the result says %d", base, after, result.Revision)
	}
	c, err := Decode(command)
	if err != nil {
		return err
	}
	w.accepted++
	if err := w.ledger.judge(c, before, w.first.View()); err != nil {
		return err
	}
	made := changes(before, w.first.View())
	for name, sw := range w.first.View().Ownership().Switchovers {
		if was := before.Ownership().Switchovers[name]; w.phases != nil && (was == nil || was.Phase != sw.Phase) {
			w.phases[sw.Phase]++
		}
	}
	if err := entire(c, before, w.first, made, base); err != nil {
		return err
	}
	for _, e := range made {
		if e.Object == nil {
			continue
		}
		if err := owned(e.Object, e.Prev); err != nil {
			return err
		}
	}
	return nil
}

// changes are what one entry did to the objects, as two views tell it: by revision, a deletion with none.
func changes(before, after View) []Event {
	var made, deleted []Event
	for _, kind := range v1alpha1.Kinds() {
		after.Range(kind, "", func(object *Object) bool {
			if prev, _ := before.Get(kind, object.Name); prev == nil || prev.Revision != object.Revision {
				made = append(made, Event{Revision: object.Revision, Kind: kind, Name: object.Name, Object: object, Prev: prev})
			}
			return true
		})
		before.Range(kind, "", func(prev *Object) bool {
			if _, ok := after.Get(kind, prev.Name); !ok {
				deleted = append(deleted, Event{Revision: after.Revision(), Kind: kind, Name: prev.Name, Prev: prev})
			}
			return true
		})
	}
	slices.SortFunc(made, func(a, b Event) int { return cmp.Compare(a.Revision, b.Revision) })
	return append(made, deleted...) // a command deletes one object, last
}

// entire checks that each changed object has a revision of its own, the subject the last, and the records that of the
// entry.
func entire(c *intentpb.Command, before View, f *FSM, made []Event, base uint64) error {
	after := f.View()
	for i, e := range made {
		if e.Revision != base+uint64(i)+1 {
			return fmt.Errorf("%s %q is change %d after revision %d, and has revision %d",
				e.Kind, e.Name, i+1, base, e.Revision)
		}
	}
	if kind, name := subject(c); kind != "" {
		n := len(made)
		if n == 0 || made[n-1].Kind != kind || made[n-1].Name != name || made[n-1].Revision != after.Revision() {
			return fmt.Errorf("the command on %s %q does not end with its change, at %d: %d changes",
				kind, name, after.Revision(), n)
		}
	}
	for r := range f.Feed().All() {
		if at := r.At.Seq; at > base && at != after.Revision() {
			return fmt.Errorf("record %s/%s is at %d, between the entries at %d and %d",
				r.Kind, r.Key, at, base, after.Revision())
		}
	}
	return transitioned(c, before, after, len(made), base)
}

// owned checks the fields that are not the proposer's.
func owned(object, prev *Object) error {
	now := typed(object)
	if now.GetResourceVersion() != "" {
		return fmt.Errorf("%s %q is stored with a resourceVersion", object.Kind, object.Name)
	}
	if prev == nil {
		if now.GetGeneration() != 1 || object.Created != object.Revision {
			return fmt.Errorf("%s %q begins with generation %d, created %d at %d",
				object.Kind, object.Name, now.GetGeneration(), object.Created, object.Revision)
		}
		return nil
	}
	old := typed(prev)
	want := old.GetGeneration()
	if !v1alpha1.SpecEqual(now, old) {
		want++
	}
	if now.GetUID() != old.GetUID() || now.GetGeneration() != want || object.Created != prev.Created {
		return fmt.Errorf("%s %q went from uid %s generation %d to uid %s generation %d",
			object.Kind, object.Name, old.GetUID(), old.GetGeneration(), now.GetUID(), now.GetGeneration())
	}
	return nil
}

// coherent checks one replica at rest: references and status of what is stored, and the feed.
func coherent(f *FSM) error {
	view := f.View()
	services := map[string]string{}
	want := map[string]any{}
	var err error
	for _, kind := range v1alpha1.Kinds() {
		view.Range(kind, "", func(object *Object) bool {
			if kind != v1alpha1.KindSwitchover && kind != v1alpha1.KindEstate { // these are not in the feed
				want[kind+"/"+object.Name] = expectedRecord(object)
			}
			switch o := typed(object).(type) {
			case *v1alpha1.Cluster:
				c, ok := view.Get(v1alpha1.KindCenter, o.Spec.Center)
				if !ok {
					err = fmt.Errorf("cluster %q is in center %q, which is not there", o.Name, o.Spec.Center)
					return false
				}
				in := typed(c).(*v1alpha1.Center)
				if in.Spec.Role != v1alpha1.CenterFull || o.Status.Region != in.Spec.Region {
					err = fmt.Errorf("cluster %q with status %+v is in center %+v", o.Name, o.Status, in.Spec)
				}
			case *v1alpha1.ServicePolicy:
				if other, ok := services[o.Spec.Service]; ok {
					err = fmt.Errorf("policies %q and %q are both for %q", other, o.Name, o.Spec.Service)
				}
				services[o.Spec.Service] = o.Name
				for _, tier := range o.Spec.Failover {
					for _, name := range tier.Centers {
						if _, ok := view.Get(v1alpha1.KindCenter, name); !ok {
							err = fmt.Errorf("policy %q names center %q, which is not there", o.Name, name)
						}
					}
				}
			case *v1alpha1.Center:
				if o.Status.ObservedGeneration != o.Generation {
					err = fmt.Errorf("center %q of generation %d has status %+v", o.Name, o.Generation, o.Status)
				}
			}
			return err == nil
		})
	}
	if err != nil {
		return err
	}
	if err := unitsCoherent(f, view); err != nil {
		return err
	}
	return feedShows(f.Feed(), want, view.Revision())
}

// feedShows compares the feed with the view.
func feedShows(log *feed.Log, want map[string]any, revision uint64) error {
	if p := log.Position(); p.Seq != revision && revision != emptyRevision {
		return fmt.Errorf("the feed is at %s, the view at revision %d", p, revision)
	}
	got := map[string]any{}
	for r := range log.All() {
		if r.Kind != model.KindOwnership && r.Kind != model.KindStoreOrder {
			got[r.Kind+"/"+r.Key] = fromJSON(r.Value)
		}
	}
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("the feed at %s shows\n%v, the view\n%v", log.Position(), got, want)
	}
	return nil
}

// expectedRecord is written apart from the code under test.
func expectedRecord(object *Object) any {
	all := fromJSON(object.Value).(map[string]any)
	metadata := all["metadata"].(map[string]any)
	kept := map[string]any{}
	for _, name := range []string{"name", "uid", "generation", "labels"} {
		if v, ok := metadata[name]; ok {
			kept[name] = v
		}
	}
	return map[string]any{
		"apiVersion": all["apiVersion"], "kind": all["kind"], "metadata": kept, "spec": all["spec"],
	}
}

func fromJSON(b []byte) any {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		panic(fmt.Sprintf("%q: %v", b, err))
	}
	return v
}

// compare demands that the replicas are the same to the byte, whatever their past, and that readers see it.
func (w *twins) compare() error {
	if w.lag > 0 {
		return nil
	}
	if a, b := save(w.first), save(w.second); !bytes.Equal(a, b) {
		return fmt.Errorf("snapshots differ: %d and %d bytes", len(a), len(b))
	}
	if a, b := save(w.first), save(w.first); !bytes.Equal(a, b) {
		return fmt.Errorf("two snapshots of one state differ")
	}
	if a, b := w.first.Revision(), w.second.Revision(); a != b {
		return fmt.Errorf("revisions are %d and %d", a, b)
	}
	if a, b := w.first.Feed().Digest(), w.second.Feed().Digest(); a != b {
		return fmt.Errorf("feeds have digests %v and %v", a, b)
	}
	for i, f := range []*FSM{w.first, w.second} {
		if err := w.readers[i].same(f.Feed()); err != nil {
			return fmt.Errorf("replica %d: %w", i+1, err)
		}
	}
	return nil
}

func TestTwinsStayEqual(t *testing.T) {
	for seed := range uint64(16) {
		config := Config{History: 8}
		if seed%3 == 0 {
			config.answers = limits{count: 30, bytes: 1 << 20}
		}
		w := newTwins(seed, config)
		if err := w.run(300); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if w.accepted < 50 {
			t.Errorf("seed %d: only %d of 300 commands were accepted: the test shows little", seed, w.accepted)
		}
	}
}

func TestTwinsWithUnitsStayEqual(t *testing.T) {
	phases := map[switchover.Phase]int{}
	for seed := range uint64(8) {
		w := newTwins(seed, Config{History: 8})
		w.units, w.phases = true, phases
		if err := w.run(500); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	for p := switchover.PhasePlanned; p <= switchover.PhaseSuperseded; p++ {
		if p != switchover.PhasePromoted && phases[p] == 0 { // never stayed in
			t.Errorf("phase %s was entered %d times: the test shows little", p, phases[p])
		}
	}
	t.Logf("phases entered: %v", phases)
}
