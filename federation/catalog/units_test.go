package catalog

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/federation/model/modelpb"
)

// users binds services to two units of 5 shards.
func users(name string, services ...string) *v1alpha1.Unitization {
	u := &v1alpha1.Unitization{Spec: v1alpha1.UnitizationSpec{
		Shards: 10, Key: &v1alpha1.ShardingKey{Header: "x-user-id", Function: v1alpha1.KeyModulo},
		Units: []v1alpha1.Unit{
			{Name: name + "1", Cells: []v1alpha1.Cell{{Center: "a"}, {Center: "b", Standby: true}}},
			{Name: name + "2", Cells: []v1alpha1.Cell{{Center: "b"}}},
		},
	}}
	for _, s := range services {
		u.Spec.Services = append(u.Spec.Services, v1alpha1.ServiceBinding{Name: s, Reads: []string{"/x/*"}})
	}
	return u
}

func owned(name string, epoch uint64) feed.Change {
	return feed.Change{Kind: model.KindOwnership, Key: name, Value: encode(&modelpb.Ownership{
		Unitization: name, Shards: 10, Epoch: epoch, Ranges: []*modelpb.OwnedRange{
			{To: 4, Unit: name + "1", Cells: []string{name + "1.a"}, State: modelpb.RangeState_RANGE_STATE_OPEN, Since: 1},
			{From: 5, To: 9, Unit: name + "2", Cells: []string{name + "2.b"}, State: modelpb.RangeState_RANGE_STATE_FROZEN,
				Since: epoch},
		},
	})}
}

func sliceIn(service, unit, address string) feed.Change {
	slice := &modelpb.EndpointSlice{
		Service: service, Unit: unit, PortNames: []string{"grpc"},
		Endpoints: []*modelpb.Endpoint{{Address: address, Ports: []uint32{9000}}},
	}
	return feed.Change{Kind: model.KindEndpointSlice, Key: model.SliceKey(service, "s"+unit), Value: encode(slice)}
}

func mustService(t *testing.T, c *Catalog, name string) *Service {
	t.Helper()
	s, ok := c.Service(name)
	if !ok {
		t.Fatalf("no service %q", name)
	}
	return s
}

func TestOwnershipChangesTheServicesOfItsUnitizationAlone(t *testing.T) {
	c := declared("a", "b")
	for _, name := range []string{"orders", "carts", "shops", "assets"} {
		c.Apply("a/vm", batch(service(name, 1, port("grpc", 9000)), sliceIn(name, "", "10.0.0.1")))
	}
	c.Apply(feed.IntentID, batch(object(kindUnitization, "users", users("users", "orders", "carts")), owned("users", 1),
		object(kindUnitization, "merchants", users("merchants", "shops")), owned("merchants", 1)))
	before := mustService(t, c, "orders")
	if got := c.Apply(feed.IntentID, batch(owned("users", 2))); !slices.Equal(got, []string{"carts", "orders"}) {
		t.Errorf("ownership of users changed %q", got)
	}
	now := mustService(t, c, "orders")
	if now.Units.Since() != 2 || before.Units.Since() != 1 || now.Units.Alike(before.Units) {
		t.Errorf("since %d became %d", before.Units.Since(), now.Units.Since())
	}
	for i, cell := range now.Units.Cells {
		if cell != before.Units.Cells[i] {
			t.Errorf("cell %s is another one, though nothing about it changed", cell.Name)
		}
	}
	if mustService(t, c, "assets").Units != nil {
		t.Error("a plain service has units")
	}
}

func TestAServiceRefusesUnlessBothRecordsAreThereAndAgree(t *testing.T) {
	gone := func(c feed.Change) feed.Change { c.Value = nil; return c }
	object1, map1 := object(kindUnitization, "users", users("users", "orders")), owned("users", 1)
	other, twice := users("users", "orders"), users("users", "orders")
	other.Spec.Shards = 20
	twice.Spec.Units[1].Name = "users1"
	selector := users("users", "orders")
	selector.Spec.Units[0].Cells[0].Clusters = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: "x", Operator: "Near"}}}
	for _, x := range []struct {
		name, why string
		batches   [][]feed.Change
	}{
		{"both", "", [][]feed.Change{{object1, map1}}},
		{"the map first", "", [][]feed.Change{{map1}, {object1}}},
		{"no map", "no ownership map", [][]feed.Change{{object1}}},
		{"the map went", "no ownership map", [][]feed.Change{{object1, map1}, {gone(map1)}}},
		{"the object went", "is gone", [][]feed.Change{{object1, map1}, {gone(object1)}}},
		{"the object went and came back", "", [][]feed.Change{{object1, map1}, {gone(object1)}, {object1}}},
		{"other shards", "spec.shards: 20", [][]feed.Change{{object(kindUnitization, "users", other), map1}}},
		{"a cell twice", "Duplicate value", [][]feed.Change{{object(kindUnitization, "users", twice), map1}}},
		{"no such selector", "clusters", [][]feed.Change{{object(kindUnitization, "users", selector), map1}}},
		{"bound twice", "is bound by", [][]feed.Change{{object1, map1},
			{object(kindUnitization, "merchants", users("merchants", "orders")), owned("merchants", 1)}}},
	} {
		c := declared("a", "b")
		c.Apply("a/vm", batch(service("orders", 1, port("grpc", 9000))))
		for _, b := range x.batches {
			c.Apply(feed.IntentID, batch(b...))
		}
		switch u := mustService(t, c, "orders").Units; {
		case u == nil:
			t.Errorf("%s: a plain service", x.name)
		case x.why == "" && (u.Refused != "" || len(u.Ranges) != 2):
			t.Errorf("%s: refused: %s; %d ranges", x.name, u.Refused, len(u.Ranges))
		case x.why != "" && (!strings.Contains(u.Refused, x.why) || len(u.Ranges) != 0):
			t.Errorf("%s: refused: %q, want %q; %d ranges", x.name, u.Refused, x.why, len(u.Ranges))
		}
	}
}

func TestAServiceIsPlainAgainWhenBothRecordsAreGone(t *testing.T) {
	c := declared("a", "b")
	c.Apply("a/vm", batch(service("orders", 1, port("grpc", 9000))))
	c.Apply(feed.IntentID, batch(object(kindUnitization, "users", users("users", "orders")), owned("users", 1)))
	c.Apply(feed.IntentID, batch(feed.Change{Kind: kindUnitization, Key: "users"}))
	if got := c.Apply(feed.IntentID, batch(feed.Change{Kind: model.KindOwnership, Key: "users"})); len(got) != 1 {
		t.Errorf("changed %q", got)
	}
	if u := mustService(t, c, "orders").Units; u != nil {
		t.Errorf("still bound: %+v", u)
	}
	if len(c.intent.known) != 0 || len(c.intent.boundBy) != 0 {
		t.Errorf("left behind: %v, %v", c.intent.known, c.intent.boundBy)
	}
}

func TestACellHasItsOwnUnitsEndpointsInItsOwnCenter(t *testing.T) {
	c := declared("a", "b")
	for cluster, address := range map[string]string{"a": "10.0.1.1", "b": "10.0.2.1"} {
		c.Apply(model.FeedID(cluster, "vm"), batch(service("orders", 1, port("grpc", 9000)),
			sliceIn("orders", "users1", address), sliceIn("orders", "users2", "10.0.3.1"), sliceIn("orders", "", "10.0.4.1")))
	}
	c.Apply(feed.IntentID, batch(object(kindUnitization, "users", users("users", "orders")), owned("users", 1)))
	u := mustService(t, c, "orders").Units
	var got []string
	for _, cell := range u.Cells {
		for _, cl := range cell.Clusters {
			for e := range cl.Endpoints("grpc") {
				got = append(got, cell.Name+" "+cl.Cluster+" "+e.Address.String())
			}
		}
	}
	want := []string{"users1.a a 10.0.4.1", "users1.a a 10.0.1.1", "users1.b b 10.0.4.1", "users1.b b 10.0.2.1",
		"users2.b b 10.0.4.1", "users2.b b 10.0.3.1"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if cell := u.Cell("users2.b"); cell.Region != "r-b" || u.Cell("users2.a") != nil {
		t.Errorf("cell %+v", cell)
	}
}

func TestRulesAreThoseOfDeclaredUnitizations(t *testing.T) {
	c := New()
	c.Apply(feed.IntentID, batch(object(kindUnitization, "users", users("users", "orders", "carts")), owned("users", 1)))
	version := c.RulesVersion()
	c.Apply(feed.IntentID, batch(owned("users", 2)))
	if c.RulesVersion() != version {
		t.Error("a change of the map changed the rules")
	}
	c.Apply(feed.IntentID, batch(object(kindUnitization, "merchants", users("merchants", "shops", "carts"))))
	if c.RulesVersion() == version {
		t.Error("a new Unitization did not change the rules")
	}
	var got []string
	for _, r := range c.Rules() {
		for _, s := range r.Services {
			got = append(got, r.Unitization+" "+r.Spec.Key.Header+" "+s.Name)
		}
	}
	want := []string{"merchants x-user-id shops", "merchants x-user-id carts", "users x-user-id orders"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
