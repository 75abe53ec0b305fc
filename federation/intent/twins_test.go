package intent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
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
	// made are the changes of the first by revision, as its results told them.
	made    []Event
	readers [2]*feedReader
}

func newTwins(seed uint64, config Config) *twins {
	w := &twins{config: config, traffic: newTraffic(seed), first: mustNew(config), second: mustNew(config),
		answers: map[string][]byte{}}
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
	if after != base+1 || result.Revision != after {
		return fmt.Errorf("revision %d was followed by %d, the result says %d", base, after, result.Revision)
	}
	c, err := Decode(command)
	if err != nil {
		return err
	}
	kind, name := subject(c)
	prev, _ := before.Get(kind, name)
	object, _ := w.first.View().Get(kind, name)
	w.made = append(w.made, Event{Revision: after, Kind: kind, Name: name, Object: object, Prev: prev})
	if object != nil {
		return owned(object, prev)
	}
	return nil
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
			want[kind+"/"+object.Name] = expectedRecord(object)
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
	return feedShows(f.Feed(), want, view.Revision())
}

// feedShows compares the feed with the view.
func feedShows(log *feed.Log, want map[string]any, revision uint64) error {
	if p := log.Position(); p.Seq != revision && revision != emptyRevision {
		return fmt.Errorf("the feed is at %s, the view at revision %d", p, revision)
	}
	got := map[string]any{}
	for r := range log.All() {
		got[r.Kind+"/"+r.Key] = fromJSON(r.Value)
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

// feedReader follows a feed at its own speed.
type feedReader struct {
	cursor *feed.Cursor
	at     feed.Position
	has    map[string]string
}

func newFeedReader(log *feed.Log) *feedReader {
	return &feedReader{cursor: log.Cursor(feed.Position{}), has: map[string]string{}}
}

func (r *feedReader) read(batches int) {
	for range batches {
		b, ok := r.cursor.Next()
		if !ok {
			return
		}
		if b.Reset {
			clear(r.has)
		}
		for _, record := range b.Records {
			k := record.Kind + "/" + record.Key
			if record.Value == nil {
				delete(r.has, k)
			} else {
				r.has[k] = string(record.Value)
			}
		}
		r.at = b.To
	}
}

// same reads to the end and compares.
func (r *feedReader) same(log *feed.Log) error {
	r.read(1 << 20)
	want := map[string]string{}
	for record := range log.All() {
		want[record.Kind+"/"+record.Key] = string(record.Value)
	}
	if r.at != log.Position() || !reflect.DeepEqual(r.has, want) {
		return fmt.Errorf("a reader of the feed at %s shows\n%v, the feed at %s\n%v", r.at, r.has, log.Position(), want)
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
		if len(w.made) < 50 {
			t.Errorf("seed %d: only %d of 300 commands were accepted: the test shows little", seed, len(w.made))
		}
	}
}
