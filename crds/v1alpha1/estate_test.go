package v1alpha1

import (
	"iter"
	"maps"
	"slices"
	"strings"
)

// declared is a Lookup.
type declared struct {
	centers      map[string]*Center
	clusters     map[string]*Cluster
	policies     map[string]*ServicePolicy
	stores       map[string]*Store
	unitizations map[string]*Unitization
	switchovers  map[string]*Switchover
	expired      map[string]Expiry
}

func (d declared) Center(name string) (*Center, bool) { c, ok := d.centers[name]; return c, ok }
func (d declared) Store(name string) (*Store, bool)   { s, ok := d.stores[name]; return s, ok }
func (d declared) Unitization(name string) (*Unitization, bool) {
	u, ok := d.unitizations[name]
	return u, ok
}
func (d declared) Centers() iter.Seq[*Center]           { return byName(d.centers) }
func (d declared) Clusters() iter.Seq[*Cluster]         { return byName(d.clusters) }
func (d declared) Policies() iter.Seq[*ServicePolicy]   { return byName(d.policies) }
func (d declared) Stores() iter.Seq[*Store]             { return byName(d.stores) }
func (d declared) Unitizations() iter.Seq[*Unitization] { return byName(d.unitizations) }
func (d declared) Switchovers() iter.Seq[*Switchover]   { return byName(d.switchovers) }

func (d declared) Expiry(cluster string) (Expiry, bool) { e, ok := d.expired[cluster]; return e, ok }

func (d declared) ClusterIn(center string) (string, bool) {
	for cluster := range d.Clusters() {
		if cluster.Spec.Center == center {
			return cluster.Name, true
		}
	}
	return "", false
}

func (d declared) PolicyOf(service string) (string, bool) {
	for policy := range d.Policies() {
		if policy.Spec.Service == service {
			return policy.Name, true
		}
	}
	return "", false
}

func byName[T any](objects map[string]T) iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, name := range slices.Sorted(maps.Keys(objects)) {
			if !yield(objects[name]) {
				return
			}
		}
	}
}

func open(center *Center) *Center {
	center.Spec.Phase = CenterOpen
	return center
}

// happen gives an object whose status the state machine writes some status.
func happen(object Object) {
	switch object := object.(type) {
	case *Store:
		object.Status = StoreStatus{Primary: "hz-a", Token: "1", State: StoreOpen}
	case *Unitization:
		object.Status = UnitizationStatus{Epoch: "1", Wanted: []string{"rz01.sh-a"}, Ranges: []OwnedRange{
			owned(0, 49, "rz01", "rz01.hz-a", "rz01.hz-b"), owned(50, 99, "rz02", "rz02.sh-a")}}
	case *Switchover:
		object.Status = SwitchoverStatus{Phase: PhasePlanned, PlanHash: "abc"}
	case *Estate:
		object.Status = EstateStatus{ObservedGeneration: 5}
	}
}

func owned(from, to int32, unit string, cells ...string) OwnedRange {
	return OwnedRange{ShardRange: ShardRange{From: from, To: to}, Unit: unit, Cells: cells, State: RangeOpen, Since: "1"}
}

// store has its primary in the first of the centers.
func store(name string, centers ...string) *Store {
	s := &Store{Spec: StoreSpec{Replication: ReplicationSynchronous}}
	s.Name = name
	for i, center := range centers {
		if i == 0 {
			s.Spec.Primary = center
		}
		s.Spec.Members = append(s.Spec.Members, StoreMember{Center: center, Cluster: center + "-vm",
			Webhook: &WebhookDriver{URL: "http://10.0.0.1:8080/fence"}})
	}
	Default(s)
	return s
}

// sharded is a unit with cells in centers, of which those with a minus in front are standby.
func sharded(name string, from, to int32, store string, centers ...string) Unit {
	return Unit{Name: name, Type: UnitSharded, Shards: []ShardRange{{From: from, To: to}}, Store: store,
		Cells: cells(centers...)}
}

func cells(centers ...string) []Cell {
	var all []Cell
	for _, center := range centers {
		name, standby := strings.CutPrefix(center, "-")
		all = append(all, Cell{Center: name, Standby: standby})
	}
	return all
}

// users are 100 shards on two units with guards, edited.
func users(edit ...func(*UnitizationSpec)) *Unitization {
	u := &Unitization{Spec: UnitizationSpec{
		Shards: 100, Guard: true, Key: &ShardingKey{Header: "x-user-id", Function: KeyLastDigits},
		Units: []Unit{
			sharded("rz01", 0, 49, "orders-rz01", "hz-a", "hz-b", "-sh-a"),
			sharded("rz02", 50, 99, "orders-rz02", "sh-a", "-hz-a"),
		},
		Services: []ServiceBinding{{Name: "orders", Reads: []string{"/orders.v1.Orders/Get", "/orders.v1.Search/*"}}},
	}}
	u.Name = "users"
	for _, e := range edit {
		e(&u.Spec)
	}
	Default(u)
	return u
}

// shared is a Global unit with City units, edited.
func shared(edit ...func(*UnitizationSpec)) *Unitization {
	u := &Unitization{Spec: UnitizationSpec{
		Shards: 1, Guard: true,
		Units: []Unit{
			{Name: "gz", Type: UnitGlobal, Store: "catalog-gz", Cells: cells("hz-b", "-sh-a")},
			{Name: "cz-hangzhou", Type: UnitCity, Cells: cells("hz-a", "hz-b")},
		},
		Services: []ServiceBinding{{Name: "catalog", Type: UnitGlobal}},
	}}
	u.Name = "shared"
	for _, e := range edit {
		e(&u.Spec)
	}
	Default(u)
	return u
}

func switchover(mode SwitchoverMode, edit ...func(*SwitchoverSpec)) *Switchover {
	s := &Switchover{Spec: SwitchoverSpec{Mode: mode}}
	s.Name = "s"
	for _, e := range edit {
		e(&s.Spec)
	}
	return s
}

// unitized is an estate with users and shared, where everything has happened.
func unitized() declared {
	d := declared{
		centers: map[string]*Center{
			"hz-a": center("hz-a", "hangzhou", CenterFull), "hz-b": center("hz-b", "hangzhou", CenterFull),
			"sh-a": center("sh-a", "shanghai", CenterFull), "sz-a": center("sz-a", "shenzhen", CenterArbiter),
			"sh-b": center("sh-b", "shanghai", CenterFull),
		},
		clusters: map[string]*Cluster{}, policies: map[string]*ServicePolicy{},
		stores: map[string]*Store{
			"orders-rz01": store("orders-rz01", "hz-a", "sh-a"), "orders-rz02": store("orders-rz02", "sh-a", "hz-a"),
			"catalog-gz": store("catalog-gz", "hz-b", "sh-a"), "unused": store("unused", "hz-a"),
		},
		unitizations: map[string]*Unitization{"users": users(), "shared": shared()},
		switchovers:  map[string]*Switchover{"s": switchover(SwitchoverPlanned)},
	}
	for _, in := range []string{"hz-a", "hz-b", "sh-a"} {
		d.clusters[in+"-vm"] = cluster(in+"-vm", in)
	}
	happen(d.unitizations["users"])
	happen(d.stores["orders-rz01"])
	return d
}
