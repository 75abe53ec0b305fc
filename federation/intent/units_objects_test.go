package intent

import (
	"testing"

	"pentad.dev/pentad/crds/v1alpha1"
)

// places are the Full centers of the tests' estate, by region.
var places = []struct{ center, region string }{
	{"hz-a", "hangzhou"}, {"hz-b", "hangzhou"}, {"sh-a", "shanghai"}, {"sh-b", "shanghai"}, {"sz-a", "shenzhen"},
}

func store(name, primary string, others ...string) *v1alpha1.Store {
	s := &v1alpha1.Store{Spec: v1alpha1.StoreSpec{
		Primary: primary, Replication: v1alpha1.ReplicationSynchronous, HoldsPermit: true,
	}}
	s.Name = name
	for _, center := range append([]string{primary}, others...) {
		s.Spec.Members = append(s.Spec.Members, v1alpha1.StoreMember{
			Center: center, Cluster: "vm-" + center, Webhook: &v1alpha1.WebhookDriver{URL: "http://127.0.0.1:1/"},
		})
	}
	return s
}

// unit takes cells as centers; a leading minus makes one standby.
func unit(name, store string, from, to int32, cells ...string) v1alpha1.Unit {
	u := v1alpha1.Unit{Name: name, Type: v1alpha1.UnitSharded, Store: store}
	u.Shards = []v1alpha1.ShardRange{{From: from, To: to}}
	for _, cell := range cells {
		c := v1alpha1.Cell{Center: cell}
		if cell[0] == '-' {
			c.Center, c.Standby = cell[1:], true
		}
		u.Cells = append(u.Cells, c)
	}
	return u
}

// users is 10 shards in two units, which swap their regions when one goes.
func users() *v1alpha1.Unitization {
	u := &v1alpha1.Unitization{Spec: v1alpha1.UnitizationSpec{
		Shards: 10, Key: &v1alpha1.ShardingKey{Header: "x-user-id", Function: v1alpha1.KeyLastDigits}, Guard: true,
		Units: []v1alpha1.Unit{
			unit("rz01", "orders-rz01", 0, 4, "hz-a", "hz-b", "-sh-a"),
			unit("rz02", "orders-rz02", 5, 9, "sh-a", "sh-b", "-hz-b"),
		},
		Services: []v1alpha1.ServiceBinding{{Name: "orders", Type: v1alpha1.UnitSharded}},
	}}
	u.Name = "users"
	return u
}

// shared has one shard, without a store.
func shared() *v1alpha1.Unitization {
	u := &v1alpha1.Unitization{Spec: v1alpha1.UnitizationSpec{
		Shards: 1, Guard: true,
		Units: []v1alpha1.Unit{
			{Name: "gz", Type: v1alpha1.UnitGlobal, Cells: []v1alpha1.Cell{{Center: "hz-b"}, {Center: "sh-b", Standby: true}}},
			{Name: "cz", Type: v1alpha1.UnitCity, Cells: []v1alpha1.Cell{{Center: "hz-a"}, {Center: "sh-a"}}},
		},
		Services: []v1alpha1.ServiceBinding{{Name: "catalog", Type: v1alpha1.UnitGlobal}},
	}}
	u.Name = "shared"
	return u
}

func moving(name string, spec v1alpha1.SwitchoverSpec) *v1alpha1.Switchover {
	s := &v1alpha1.Switchover{Spec: spec}
	s.Name = name
	return s
}

func evacuation(name, region string) *v1alpha1.Switchover {
	return moving(name, v1alpha1.SwitchoverSpec{
		Mode: v1alpha1.SwitchoverPlanned, Evacuate: &v1alpha1.Evacuation{Region: region},
	})
}

func disaster(name, region string) *v1alpha1.Switchover {
	s := evacuation(name, region)
	s.Spec.Mode = v1alpha1.SwitchoverDisaster
	return s
}

// unitObjects are what an estate with units declares, in an order in which it can be.
func unitObjects() []v1alpha1.Object {
	var all []v1alpha1.Object
	for _, p := range places {
		all = append(all, center(p.center, p.region, v1alpha1.CenterFull), cluster("vm-"+p.center, p.center))
	}
	return append(all, center("bj-v", "beijing", v1alpha1.CenterArbiter),
		store("orders-rz01", "hz-a", "sh-a", "sz-a"), store("orders-rz02", "sh-a", "hz-b", "sz-a"), users(), shared())
}

func withUnits(t *testing.T, config Config) *estate {
	t.Helper()
	e := newEstate(t, config)
	for _, o := range unitObjects() {
		e.add(o)
	}
	return e
}
