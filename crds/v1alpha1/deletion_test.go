package v1alpha1

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func selector(key, value string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
}

func TestWhatIsUsedIsNotDeleted(t *testing.T) {
	const name = "metadata.name"
	d := unitized()
	d.stores["unused"].Spec.Members[0].Cluster = "spare"
	d.clusters["spare"], d.clusters["hz-b-vm2"] = cluster("spare", "sh-b"), cluster("hz-b-vm2", "hz-b")
	inPhase := func(phase SwitchoverPhase) *Switchover {
		s := switchover(SwitchoverPlanned, baseline)
		s.Status.Phase = phase
		return s
	}
	moving, free := users(), users()
	happen(moving)
	happen(free)
	moving.Status.Ranges[1].Switchover = "evacuate"
	moved := d.stores["unused"].DeepCopy()
	moved.Status.Switchover = "evacuate"
	for what, c := range map[string]struct {
		object Object
		want   []mistake
	}{
		"center with a cluster": {d.centers["hz-a"], []mistake{{name, "hz-a", `cluster "hz-a-vm" is in this center`}}},
		"free center":           {d.centers["sz-a"], nil},
		"cluster of a store": {d.clusters["spare"], []mistake{
			{name, "spare", `store "unused" has spec.members[0] in this cluster`}}},
		"cluster of a store and a cell": {d.clusters["sh-a-vm"], []mistake{
			{name, "sh-a-vm", `store "catalog-gz" has spec.members[1] in this cluster`},
			{name, "sh-a-vm", `cell "gz.sh-a" of unitization "shared" would have no cluster`}}},
		"one of a cell's clusters": {d.clusters["hz-b-vm2"], nil},
		"store of a unit": {d.stores["orders-rz01"], []mistake{{name, "orders-rz01",
			`unit "rz01" of unitization "users" has its data there`}}},
		"free store":         {d.stores["unused"], nil},
		"store that moves":   {moved, []mistake{{name, "unused", `switchover "evacuate" moves it now`}}},
		"unitization":        {free, nil},
		"one that moves":     {moving, []mistake{{name, "users", `switchover "evacuate" moves its shards now`}}},
		"planned switchover": {inPhase(PhasePlanned), nil},
		"approved one":       {inPhase(PhaseApproved), []mistake{{name, "s", "is in phase Approved and holds locks"}}},
		"opened one":         {inPhase(PhaseOpened), []mistake{{name, "s", "is in phase Opened and holds locks"}}},
		"done one":           {inPhase(PhaseDone), nil},
		"aborted one":        {inPhase(PhaseAborted), nil},
	} {
		t.Run(what, func(t *testing.T) { expect(t, ValidateDelete(c.object, d), c.want...) })
	}
}

func TestACellKeepsACluster(t *testing.T) {
	d := unitized()
	d.unitizations["users"].Spec.Units[0].Cells[0].Clusters = selector("tier", "gold")
	gold := func(name string) *Cluster {
		c := cluster(name, "hz-a")
		c.Labels = map[string]string{"tier": "gold"}
		return c
	}
	d.clusters["hz-a-vm"] = gold("hz-a-vm")
	plain := cluster("hz-a-vm", "hz-a")
	plain.Labels = map[string]string{"tier": "silver", "a": "b"}
	expect(t, ValidateReferences(plain, gold("hz-a-vm"), d), mistake{"metadata.labels", "a=b,tier=silver",
		`cell "rz01.hz-a" of unitization "users" would have no cluster`})
	expect(t, ValidateReferences(gold("hz-a-vm"), gold("hz-a-vm"), d))
	d.clusters["other"] = gold("other")
	expect(t, ValidateReferences(plain, gold("hz-a-vm"), d))
}

func TestWhatHappenedIsNotDerived(t *testing.T) {
	for _, kind := range []string{KindStore, KindUnitization, KindSwitchover} {
		object, same := New(kind), New(kind)
		happen(object)
		happen(same)
		object.SetGeneration(7)
		DeriveStatus(object, unitized())
		if !StatusEqual(object, same) {
			t.Errorf("%s: status is derived: %+v", kind, object)
		}
		expect(t, ValidateStatus(object, unitized()))
	}
}
