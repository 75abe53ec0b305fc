package intent

import (
	"bytes"
	"testing"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/unitization/switchover"
)

func TestSpliceTouchesOneField(t *testing.T) {
	for object, want := range map[string]string{
		`{}`:                                   `{"status":7}`,
		` { } `:                                ` { "status":7} `,
		`{"a":{"status":1},"b":[2]}` + "\n":    `{"a":{"status":1},"b":[2],"status":7}` + "\n",
		`{"a":1, "status" : {"x":"}"} ,"b":2}`: `{"a":1, "status" : 7 ,"b":2}`,
		`{"st\u0061tus":null}`:                 `{"st\u0061tus":7}`,
		`{"status":"<é>"}`:                     `{"status":7}`,
	} {
		got, err := splice([]byte(object), "status", []byte("7"))
		if err != nil || string(got) != want {
			t.Errorf("%s became %s, %v; want %s", object, got, err, want)
		}
	}
	for _, object := range []string{``, `[]`, `{`, `{"a":1`, `{"a"}`} {
		if got, err := splice([]byte(object), "status", []byte("7")); err == nil {
			t.Errorf("%s became %s", object, got)
		}
	}
}

// TestAnObjectThatIsReadAndWrittenIsTheSame: the API server tells by the bytes that an apply changes nothing.
func TestAnObjectThatIsReadAndWrittenIsTheSame(t *testing.T) {
	e := withUnits(t, Config{})
	e.add(evacuation("out", "hangzhou"))
	e.drive("out", switchover.PhaseDone)
	for kind, name := range map[string]string{
		v1alpha1.KindStore: "orders-rz01", v1alpha1.KindUnitization: "users", v1alpha1.KindSwitchover: "out",
	} {
		o, _ := e.View().Get(kind, name)
		if again := toJSON(typed(o)); !bytes.Equal(again, o.Value) {
			t.Errorf("%s: stored\n%s, written again\n%s", kind, o.Value, again)
		}
		if string(toJSON(o.decoded)) != string(o.Value) {
			t.Errorf("%s: the decoded form is another than the stored one", kind)
		}
	}
}

// TestADisasterSaysWhatMayBeLost: only of an asynchronous store, whose old primary did not tell its position.
func TestADisasterSaysWhatMayBeLost(t *testing.T) {
	const estimate = "store orders-rz01: what hz-a acknowledged beyond what sh-a held, epoch 0 index 41"
	for name, c := range map[string]struct {
		replication v1alpha1.StoreReplication
		old         bool
		want        string
	}{
		"synchronous":                           {v1alpha1.ReplicationSynchronous, false, ""},
		"asynchronous, the old primary is gone": {v1alpha1.ReplicationAsynchronous, false, estimate},
		"asynchronous, the old primary told it": {v1alpha1.ReplicationAsynchronous, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := withUnits(t, Config{})
			e.must(e.edit(v1alpha1.KindStore, "orders-rz01", func(o v1alpha1.Object) {
				o.(*v1alpha1.Store).Spec.Replication = c.replication
			}))
			d := disaster("out", "hangzhou")
			d.Spec.AcceptDataLoss = true
			e.add(d)
			e.drive("out", switchover.PhaseFencing)
			freeze := e.switchover("out").Freeze
			e.must(e.transition(&intentpb.WaitedOut{Switchover: "out", Uid: string(d.UID), Freeze: freeze, Term: 1}))
			batch := obeyed(e.View().Ownership(), e.switchover("out"))
			kept := &intentpb.StoreReports{}
			for _, r := range batch.Reports {
				if r.PositionIndex = 41; r.Member != "hz-a" || c.old {
					kept.Reports = append(kept.Reports, r)
				}
			}
			e.must(e.transition(kept))
			e.drive("out", switchover.PhaseDone)
			status := stored[*v1alpha1.Switchover](e, v1alpha1.KindSwitchover, "out").Status
			if status.EstimatedDataLoss != c.want || !status.WaitedOut {
				t.Errorf("status is %+v, want %q", status, c.want)
			}
		})
	}
}
