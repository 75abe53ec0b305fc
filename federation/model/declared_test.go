package model

import (
	"fmt"
	"testing"

	"pentad.dev/pentad/federation/feed"
)

func TestDeclaredSaysWhichClustersWereDeleted(t *testing.T) {
	declared := func(name, uid string) *feed.Record {
		return &feed.Record{Kind: KindCluster, Key: name, Value: fmt.Appendf(nil, `{"metadata":{"name":%q,"uid":%q},"spec":{}}`, name, uid)}
	}
	deleted := func(name string) *feed.Record { return &feed.Record{Kind: KindCluster, Key: name} }
	other := &feed.Record{Kind: "Center", Key: "a", Value: []byte("{}")}
	d := NewDeclared([]string{"before"})
	for i, step := range []struct {
		reset          bool
		records        []*feed.Record
		deleted, again string
	}{
		{true, []*feed.Record{declared("a", "1"), declared("b", "2"), other}, "[]", "[]"},
		{false, []*feed.Record{deleted("a")}, "[a]", "[]"},
		{false, []*feed.Record{deleted("a"), deleted("never")}, "[]", "[]"},
		{false, []*feed.Record{declared("a", "3"), declared("before", "4")}, "[]", "[a before]"},
		{false, []*feed.Record{declared("b", "2")}, "[]", "[]"},        // changed
		{false, []*feed.Record{declared("b", "5")}, "[b]", "[b]"},      // deleted and declared anew, unseen
		{true, []*feed.Record{declared("b", "5")}, "[a before]", "[]"}, // not named
		{true, []*feed.Record{declared("b", "5"), other}, "[]", "[]"},  // again
		{true, nil, "[b]", "[]"}, // none
		{true, []*feed.Record{declared("a", "3"), other}, "[]", "[a]"},  // as it was
		{false, []*feed.Record{{Kind: "Center", Key: "a"}}, "[]", "[]"}, // another kind
		{false, []*feed.Record{declared("a", "3"), deleted("x")}, "[]", "[]"},
	} {
		gone, again := d.Apply(feed.Batch{Reset: step.reset, Records: step.records})
		if fmt.Sprint(gone) != step.deleted || fmt.Sprint(again) != step.again {
			t.Errorf("step %d: deleted %v, again %v; want %s, %s", i, gone, again, step.deleted, step.again)
		}
	}
	for name, want := range map[string]bool{"a": false, "b": true, "before": true, "never": false, "x": false} {
		if d.Deleted(name) != want {
			t.Errorf("%s deleted: %t", name, !want)
		}
	}
}
