package intent

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/federation/model"
)

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
