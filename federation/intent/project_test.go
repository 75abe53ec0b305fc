package intent

import (
	"bytes"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
)

func TestFeedHasSpecsOnly(t *testing.T) {
	e := newEstate(t, Config{})
	e.add(center("hz-a", "hangzhou", ""))
	vm := cluster("hz-a-vm", "hz-a")
	vm.Labels = map[string]string{"tier": "gold"}
	vm.Annotations = map[string]string{"note": "x"}
	vm.Finalizers = []string{"example.com/hold"}
	vm.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl", Operation: metav1.ManagedFieldsOperationApply,
		APIVersion: "pentad.dev/v1alpha1", FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{}`)}}
	r := e.add(vm)
	record, ok := e.Feed().Get("Cluster", "hz-a-vm")
	if !ok {
		t.Fatal("no record")
	}
	want := `{"kind":"Cluster","apiVersion":"pentad.dev/v1alpha1","metadata":{"name":"hz-a-vm","uid":"` + string(vm.UID) +
		`","generation":1,"labels":{"tier":"gold"}},"spec":{"center":"hz-a","type":"VM"}}`
	if string(record.Value) != want {
		t.Errorf("record is\n%s, want\n%s", record.Value, want)
	}
	if record.At != (feed.Position{Incarnation: epoch, Seq: r.Revision}) {
		t.Errorf("record is at %s, want revision %d", record.At, r.Revision)
	}
	if _, errs := decodeValue("Cluster", record.Value); len(errs) > 0 {
		t.Errorf("the record does not decode into the kind's type: %v", errs)
	}
}

func TestFeedRecordStaysWhenOnlyOthersFieldsChange(t *testing.T) {
	e := populated(t)
	was, _ := e.Feed().Get("Cluster", "hz-a-vm")
	e.must(e.edit("Cluster", "hz-a-vm", func(o v1alpha1.Object) { o.SetAnnotations(map[string]string{"note": "x"}) }))
	if now, _ := e.Feed().Get("Cluster", "hz-a-vm"); now.At != was.At {
		t.Errorf("an annotation moved the record from %s to %s", was.At, now.At)
	}
	if p := e.Feed().Position(); p.Seq != e.Revision() {
		t.Errorf("the feed stayed at %s, the revision is %d", p, e.Revision())
	}
	e.must(e.edit("Cluster", "hz-a-vm", func(o v1alpha1.Object) { o.SetLabels(map[string]string{"a": "b"}) }))
	if now, _ := e.Feed().Get("Cluster", "hz-a-vm"); now.At.Seq != e.Revision() {
		t.Errorf("a label did not move the record: it is at %s", now.At)
	}
}

func TestFeedIsUnknownBeforeTheFirstCommand(t *testing.T) {
	f := mustNew(Config{})
	if p := f.Feed().Position(); !p.IsZero() {
		t.Errorf("the feed of an empty FSM is at %s: a reader would take it for an empty estate", p)
	}
	e := populated(t)
	if err := e.Restore(bytes.NewReader(save(f))); err != nil {
		t.Fatal(err)
	}
	if p := e.Feed().Position(); !p.IsZero() || e.Feed().Len() != 0 {
		t.Errorf("after the restore of an empty state the feed is at %s with %d records", p, e.Feed().Len())
	}
}

func TestRestoreSetsTheFeedsFloor(t *testing.T) {
	e := populated(t)
	old := e.Feed().Position()
	e.must(e.remove("Cluster", "hz-a-vm"))
	e.add(center("hz-b", "hangzhou", ""))
	rebuilt := mustNew(Config{})
	if err := rebuilt.Restore(bytes.NewReader(save(e.FSM))); err != nil {
		t.Fatal(err)
	}
	want := feed.Position{Incarnation: epoch, Seq: e.Revision()}
	if p, floor := rebuilt.Feed().Position(), rebuilt.Feed().Floor(); p != want || floor != want {
		t.Errorf("the feed is at %s with floor %s, want both %s", p, floor, want)
	}
	batch, ok := rebuilt.Feed().Cursor(old).Next()
	if !ok || !batch.Reset {
		t.Errorf("a reader from %s, who has the deleted cluster, got %+v: want a reset", old, batch)
	}
	if a, b := e.Feed().Digest(), rebuilt.Feed().Digest(); a != b {
		t.Errorf("digests are %v and %v", a, b)
	}
}

func TestUncheckedKindsStayOutOfTheFeed(t *testing.T) {
	e := newEstate(t, Config{Unchecked: []string{"Pod"}})
	first := e.must(e.creation("Pod", "ns/a", []byte("\x00opaque")))
	second := e.must(e.replacement("Pod", "ns/a", []byte("\x00opaque"), first.Revision))
	if second.Revision != first.Revision+1 {
		t.Errorf("an update with equal bytes has revision %d, want %d", second.Revision, first.Revision+1)
	}
	e.must(e.creation("Pod", "ns2/a", []byte("x")))
	var names []string
	e.View().Range("Pod", "ns/", func(o *Object) bool { names = append(names, o.Name); return true })
	if len(names) != 2 || names[0] != "ns/a" {
		t.Errorf("names are %q", names)
	}
	if e.Feed().Len() != 0 || e.Feed().Position().Seq != e.Revision() {
		t.Errorf("the feed has %d records at %s", e.Feed().Len(), e.Feed().Position())
	}
	if err := e.Restore(bytes.NewReader(save(e.FSM))); err != nil {
		t.Error(err)
	}
	if o, ok := e.View().Get("Pod", "ns/a"); !ok || string(o.Value) != "\x00opaque" {
		t.Errorf("after a restore: %+v", o)
	}
	for _, kind := range []string{"", "Center"} {
		if _, err := New(Config{Unchecked: []string{kind}}); err == nil {
			t.Errorf("unchecked kind %q was accepted", kind)
		}
	}
}
