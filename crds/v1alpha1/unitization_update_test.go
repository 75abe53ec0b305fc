package v1alpha1

import (
	"testing"
	"time"
)

// TestUnitizationKeepsWhatHolds: rule 22 of ownership. The old object's status says that rz01 owns 0 to 49 through
// cells hz-a and hz-b, rz02 the rest through sh-a, and that a switchover is about to enter rz01.sh-a.
func TestUnitizationKeepsWhatHolds(t *testing.T) {
	unit := func(i int, edit func(*Unit)) edit { return func(s *UnitizationSpec) { edit(&s.Units[i]) } }
	without := func(i int, center string) edit {
		return unit(i, func(u *Unit) {
			var kept []Cell
			for _, cell := range u.Cells {
				if cell.Center != center {
					kept = append(kept, cell)
				}
			}
			u.Cells = kept
		})
	}
	third := func(s *UnitizationSpec) { s.Units = append(s.Units, sharded("rz03", 1, 0, "", "hz-a")) }
	for name, c := range map[string]struct {
		object, old *Unitization
		want        []mistake
	}{
		"the same":   {users(), users(), nil},
		"a new unit": {users(third), users(), nil},
		"another baseline": {users(split([]ShardRange{{0, 99}}, nil), unit(1, func(u *Unit) { u.Cells[1].Standby = false })),
			users(), nil},
		"without services": {users(func(s *UnitizationSpec) { s.Services = nil }), users(), nil},
		"shards": {users(shards(200), key("x-user-id", KeyLastDigits, 0)), users(), []mistake{
			{"spec.shards", 200, `must stay "100"`}}},
		"key": {users(key("x-user-id", KeyModulo, 0)), users(), []mistake{
			{"spec.key", &ShardingKey{"x-user-id", KeyModulo, 0},
				`must stay {"header":"x-user-id","function":"LastDigits"}: keys would change their shards`}}},
		"override added": {users(overrides(KeyOverride{"1", 0})), users(), []mistake{{"spec.overrides[0].key", "1",
			"must not be added: the key would change its shard"}}},
		"override removed": {users(), users(overrides(KeyOverride{"1", 0})), []mistake{{"spec.overrides", "1", "must stay"}}},
		"override changed": {users(overrides(KeyOverride{"1", 2})), users(overrides(KeyOverride{"1", 0})), []mistake{
			{"spec.overrides[0].shard", 2, "must stay 0"}}},
		"overrides in another order": {users(overrides(KeyOverride{"1", 0}, KeyOverride{"2", 1})),
			users(overrides(KeyOverride{"2", 1}, KeyOverride{"1", 0})), nil},

		"owner gone": {users(func(s *UnitizationSpec) { s.Units = s.Units[:1] }), users(), []mistake{{"spec.units", "rz02",
			"must stay: it owns shards 50 to 99 now (status.ranges[1]); move it by a Switchover first"}}},
		"unit without shards gone": {users(), users(third), nil},
		"active cell gone": {users(without(0, "hz-b")), users(), []mistake{{"spec.units[0].cells", "hz-b",
			"its cell takes writes for shards 0 to 49 now (status.ranges[0])"}}},
		"wanted cell gone": {users(without(0, "sh-a")), users(), []mistake{{"spec.units[0].cells", "sh-a",
			"a switchover is about to enter its cell (status.wanted[0])"}}},
		"standby cell gone": {users(without(1, "hz-a")), users(), nil},
		"another store": {users(unit(0, func(u *Unit) { u.Store = "other" })), users(), []mistake{{"spec.units[0].store",
			"other", `must stay "orders-rz01": it owns shards 0 to 49 now (status.ranges[0]), and its data are there`}}},
		"no store": {users(unit(1, func(u *Unit) { u.Store = "" })), users(), []mistake{{"spec.units[1].store", "",
			`must stay "orders-rz02"`}}},
		"a store for a unit without shards": {users(third, unit(2, func(u *Unit) { u.Store = "x" })), users(third), nil},
		"another type": {users(unit(0, func(u *Unit) { u.Type = UnitGlobal })), users(), []mistake{{"spec.units[0].type",
			"Global", `must stay "Sharded": make another unit`}}},
	} {
		t.Run(name, func(t *testing.T) {
			happen(c.old)
			expect(t, ValidateUpdate(c.object, c.old), c.want...)
		})
	}
	t.Run("nothing holds yet", func(t *testing.T) {
		expect(t, ValidateUpdate(users(without(0, "hz-b"), unit(1, func(u *Unit) { u.Name = "rz09" })), users()))
	})
}

func TestUnitizationKeepsPermitsWhileASwitchoverRuns(t *testing.T) {
	other := users(permit(2*time.Second), func(s *UnitizationSpec) { s.Isolation = IsolationKeep })
	old := users()
	happen(old)
	expect(t, ValidateUpdate(other, old))
	old.Status.Ranges[1].Switchover = "evacuate"
	expect(t, ValidateUpdate(other, old),
		mistake{"spec.isolation", "Keep", `must stay "Stop": switchover "evacuate" counts on it`},
		mistake{"spec.permit.duration", "2s", `must stay "5s": switchover "evacuate" counts on it`})
}

func TestUnitizationReferences(t *testing.T) {
	d := unitized()
	closed, draining := center("sh-b", "shanghai", CenterFull), center("sh-b", "shanghai", CenterFull)
	closed.Spec.Phase, draining.Spec.Phase = CenterClosed, CenterDraining
	d.clusters["sh-b-vm"] = cluster("sh-b-vm", "sh-b")
	d.clusters["hz-b-vm"].Labels = map[string]string{"tier": "gold"}
	permitted := store("permitted", "hz-a")
	permitted.Spec.HoldsPermit = true
	d.stores["permitted"] = permitted
	// merchants are another Unitization, of one unit in a center.
	merchants := func(edits ...edit) *Unitization {
		u := users(append([]edit{func(s *UnitizationSpec) {
			s.Units, s.Services = []Unit{sharded("mz", 0, 99, "unused", "hz-b")}, nil
		}}, edits...)...)
		u.Name = "merchants"
		return u
	}
	unit := func(edit func(*Unit)) edit { return func(s *UnitizationSpec) { edit(&s.Units[0]) } }
	in := func(centers ...string) edit { return unit(func(u *Unit) { u.Cells = cells(centers...) }) }
	selecting := func(value string) edit {
		return unit(func(u *Unit) { u.Cells[0].Clusters = selector("tier", value) })
	}
	at := func(store string) edit { return unit(func(u *Unit) { u.Store = store }) }
	unguarded := func(s *UnitizationSpec) { s.Guard = false }
	keep := func(s *UnitizationSpec) { s.Isolation = IsolationKeep }
	service := func(name string) edit {
		return func(s *UnitizationSpec) { s.Services = []ServiceBinding{{Name: name}} }
	}
	const center, clusters = "spec.units[0].cells[0].center", "spec.units[0].cells[0].clusters"
	for name, c := range map[string]struct {
		object *Unitization
		sh     *Center
		want   []mistake
	}{
		"good":           {merchants(), nil, nil},
		"itself":         {users(), nil, nil},
		"unknown center": {merchants(in("xx")), nil, []mistake{{center, "xx", "must be the name of a declared Center"}}},
		"arbiter": {merchants(in("sz-a")), nil, []mistake{{center, "sz-a",
			"role Arbiter: a cell must be in a Full center"}}},
		"open": {merchants(in("sh-b")), nil, nil},
		"closed": {merchants(in("sh-b")), closed, []mistake{
			{center, "sh-b", "is Closed: no unit may move into the center"}}},
		"draining": {merchants(in("sh-b")), draining, []mistake{
			{center, "sh-b", "is Draining: no unit may move into"}}},
		"standby in a closed one": {merchants(in("-sh-b", "hz-a")), closed, nil},
		"selected":                {merchants(selecting("gold")), nil, nil},
		"no cluster selected": {merchants(selecting("silver")), nil, []mistake{{clusters, "tier=silver",
			`selects no cluster of center "hz-b"`}}},
		"unknown store": {merchants(at("xx")), nil, []mistake{{"spec.units[0].store", "xx",
			"must be the name of a declared Store"}}},
		"store of others": {merchants(at("orders-rz01")), nil, []mistake{{"spec.units[0].store", "orders-rz01",
			`units of unitization "users" have their data there`}}},
		"unit of others": {merchants(unit(func(u *Unit) { u.Name = "cz-hangzhou" })), nil, []mistake{{"spec.units[0].name",
			"cz-hangzhou", `unitization "shared" has a unit of this name`}}},
		"service of others": {merchants(service("catalog")), nil, []mistake{{"spec.services[0].name", "catalog",
			`unitization "shared" has bound this service`}}},
		"stop by nothing": {merchants(unguarded), nil, []mistake{{"spec.units[0].store", "unused",
			"isolation Stop without guard needs a store with holdsPermit"}}},
		"stop by the store": {merchants(unguarded, at("permitted")), nil, nil},
		"keep":              {merchants(keep), nil, nil},
		"keep with a store that stops": {merchants(keep, at("permitted")), nil, []mistake{{"spec.units[0].store", "permitted",
			"isolation Keep needs a store without holdsPermit"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if d.centers["sh-b"] = c.sh; c.sh == nil {
				d.centers["sh-b"] = open(closed.DeepCopy())
			}
			expect(t, ValidateReferences(c.object, nil, d), c.want...)
		})
	}
	t.Run("a center that closed later", func(t *testing.T) {
		d.centers["sh-b"] = closed
		expect(t, ValidateReferences(merchants(in("sh-b")), merchants(in("sh-b")), d))
	})
	t.Run("no cluster at all", func(t *testing.T) {
		delete(d.clusters, "hz-b-vm")
		expect(t, ValidateReferences(merchants(), nil, d), mistake{center, "hz-b", "has no cluster"})
		expect(t, ValidateReferences(merchants(selecting("gold")), nil, d), mistake{clusters, "tier=gold",
			"selects no cluster"})
	})
}
