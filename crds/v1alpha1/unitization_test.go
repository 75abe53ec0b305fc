package v1alpha1

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type edit = func(*UnitizationSpec)

func permit(d time.Duration) edit {
	return func(s *UnitizationSpec) { s.Permit.Duration = &metav1.Duration{Duration: d} }
}

func key(header string, function KeyFunction, skip int32) edit {
	return func(s *UnitizationSpec) { s.Key = &ShardingKey{Header: header, Function: function, SkipDigits: skip} }
}

// split gives rz01 and rz02 ranges.
func split(first, second []ShardRange) edit {
	return func(s *UnitizationSpec) { s.Units[0].Shards, s.Units[1].Shards = first, second }
}

func overrides(all ...KeyOverride) edit {
	return func(s *UnitizationSpec) { s.Overrides = all }
}

func shards(n int32) edit {
	return func(s *UnitizationSpec) {
		s.Shards, s.Key.Function, s.Units[1].Shards = n, KeyModulo, []ShardRange{{From: 50, To: n - 1}}
	}
}

func TestValidateUnitization(t *testing.T) {
	type ranges = []ShardRange
	none := func(*UnitizationSpec) {}
	unpermitted := users()
	unpermitted.Spec.Permit.Duration = nil
	for name, c := range map[string]struct {
		object *Unitization
		want   []mistake
	}{
		"good":            {users(none), nil},
		"good and global": {shared(none), nil},
		"16384 shards":    {users(shards(16384)), nil},
		"16385 shards":    {users(shards(16385)), []mistake{{"spec.shards", 16385, "must be 1 to 16384"}}},
		"no shards":       {users(shards(0)), []mistake{{"spec.shards", 0, "must be 1 to 16384"}}},
		"no key": {users(func(s *UnitizationSpec) { s.Key = nil }), []mistake{
			{"spec.key", "", "which of the shards"}}},
		"key of one": {shared(key("x-user-id", KeyModulo, 0)), []mistake{{"spec.key", "",
			"must not be set: there is one shard"}}},
		"no header":      {users(key("", KeyModulo, 0)), []mistake{{"spec.key.header", "", "Required value"}}},
		"capital header": {users(key("X-User", KeyModulo, 0)), []mistake{{"spec.key.header", "X-User", "in lower case"}}},
		"pseudo header": {users(key(":path", KeyModulo, 0)), []mistake{
			{"spec.key.header", ":path", "the name of a header"}}},
		"own header": {users(key("x-pentad-shard", KeyModulo, 0)), []mistake{{"spec.key.header", "x-pentad-shard",
			"must not begin with x-pentad-"}}},
		"binary header": {users(key("x-user-bin", KeyModulo, 0)), []mistake{{"spec.key.header", "x-user-bin",
			"must not end with -bin"}}},
		"long header": {users(key(strings.Repeat("x", 257), KeyModulo, 0)), []mistake{{"spec.key.header", "<value omitted>",
			"may not be more than 256 bytes"}}},
		"unknown function": {users(key("x", "Hash", 0)), []mistake{{"spec.key.function", "Hash",
			`supported values: "LastDigits", "Modulo"`}}},
		"no power of ten": {users(shards(128), key("x", KeyLastDigits, 0)), []mistake{{"spec.key.function", "LastDigits",
			"needs spec.shards to be a power of ten, and it is 128"}}},
		"18 digits": {users(key("x", KeyLastDigits, 18)), nil},
		"19 digits": {users(key("x", KeyLastDigits, 19)), []mistake{{"spec.key.skipDigits", 19, "must be 0 to 18"}}},
		"-1 digits": {users(key("x", KeyLastDigits, -1)), []mistake{{"spec.key.skipDigits", -1, "must be 0 to 18"}}},
		"digits of modulo": {users(key("x", KeyModulo, 1)), []mistake{{"spec.key.skipDigits", 1,
			"must not be set: it is for LastDigits"}}},
		"overrides": {users(overrides(KeyOverride{"1", 0}, KeyOverride{"2", 99})), nil},
		"override out of range": {users(overrides(KeyOverride{"1", 100}, KeyOverride{"2", -1})), []mistake{
			{"spec.overrides[0].shard", 100, "must be 0 to 99"}, {"spec.overrides[1].shard", -1, "must be 0 to 99"}}},
		"override twice": {users(overrides(KeyOverride{"1", 0}, KeyOverride{"1", 0})), []mistake{
			{"spec.overrides[1].key", "1", "a key has one shard"}}},
		"override of nothing": {users(overrides(KeyOverride{"", 0})), []mistake{{"spec.overrides[0].key", "",
			"must be the key as it is sent"}}},
		"override without key": {shared(overrides(KeyOverride{"1", 0})), []mistake{{"spec.overrides", "",
			"must not be set without spec.key"}}},
		"long override": {users(overrides(KeyOverride{strings.Repeat("1", 257), 0})), []mistake{
			{"spec.overrides[0].key", "<value omitted>", "may not be more than 256 bytes"}}},
		"many overrides": {users(overrides(make([]KeyOverride, 4097)...)), []mistake{{"spec.overrides", 4097,
			"must have at most 4096 items"}}},
		"isolation": {users(func(s *UnitizationSpec) { s.Isolation = "Hope" }), []mistake{{"spec.isolation", "Hope",
			`supported values: "Stop", "Keep"`}}},
		"permit of a second": {users(permit(time.Second)), nil},
		"permit of a minute": {users(permit(time.Minute)), nil},
		"short permit": {users(permit(999 * time.Millisecond)), []mistake{{"spec.permit.duration", "999ms",
			"must be 1s to 1m0s"}}},
		"long permit": {users(permit(61 * time.Second)), []mistake{{"spec.permit.duration", "1m1s", "must be 1s to 1m0s"}}},
		"no permit":   {unpermitted, []mistake{{"spec.permit.duration", "", "must be 1s to 1m0s, as in 5s"}}},

		"in pieces": {users(split(ranges{{10, 19}, {0, 4}}, ranges{{20, 99}, {5, 9}})), nil},
		"first missing": {users(split(ranges{{1, 49}}, ranges{{50, 99}})), []mistake{{"spec.units", 0,
			"shard 0 has no unit: the units' shards must hold each of 0 to 99 once"}}},
		"one missing": {users(split(ranges{{0, 49}}, ranges{{51, 99}})), []mistake{
			{"spec.units", 50, "shard 50 has no unit"}}},
		"last missing": {users(split(ranges{{0, 49}}, ranges{{50, 98}})), []mistake{
			{"spec.units", 99, "shard 99 has no unit"}}},
		"all missing": {users(split(nil, nil)), []mistake{{"spec.units", 0, "shard 0 has no unit"}}},
		"one doubled": {users(split(ranges{{0, 50}}, ranges{{50, 99}})), []mistake{{"spec.units[1].shards[0]",
			ShardRange{50, 99}, `shard 50 is unit "rz01"'s already (spec.units[0].shards[0])`}}},
		"doubled in a unit": {users(split(ranges{{0, 49}, {7, 8}}, ranges{{50, 99}})), []mistake{{"spec.units[0].shards[1]",
			ShardRange{7, 8}, `shard 7 is unit "rz01"'s already`}}},
		"doubled and missing": {users(split(ranges{{0, 10}, {5, 6}}, nil)), []mistake{{"spec.units[0].shards[1]",
			ShardRange{5, 6}, "shard 5 is"}}},
		"out of range": {users(split(ranges{{-1, 49}}, ranges{{50, 100}})), []mistake{
			{"spec.units[0].shards[0].from", -1, "must be 0 to 99"}, {"spec.units[1].shards[0].to", 100, "must be 0 to 99"}}},
		"backwards": {users(split(ranges{{49, 0}}, ranges{{50, 99}})), []mistake{{"spec.units[0].shards[0]",
			ShardRange{49, 0}, "from must be at most to"}}},
	} {
		t.Run(name, func(t *testing.T) { expect(t, Validate(c.object), c.want...) })
	}
}

func TestValidateUnits(t *testing.T) {
	unit := func(i int, edit func(*Unit)) edit { return func(s *UnitizationSpec) { edit(&s.Units[i]) } }
	keep := func(s *UnitizationSpec) { s.Isolation = IsolationKeep }
	unguarded := func(s *UnitizationSpec) { s.Guard = false }
	storeless := unit(1, func(u *Unit) { u.Store = "" })
	global := func(name string) edit {
		return func(s *UnitizationSpec) {
			s.Units = append(s.Units, Unit{Name: name, Type: UnitGlobal, Store: "x", Cells: cells("hz-a")})
		}
	}
	for name, c := range map[string]struct {
		object *Unitization
		want   []mistake
	}{
		"none": {users(func(s *UnitizationSpec) { s.Units = nil }), []mistake{
			{"spec.units", "", "units that own the shards"}}},
		"name twice": {users(unit(1, func(u *Unit) { u.Name = "rz01" })), []mistake{{"spec.units[1].name", "rz01",
			"unique in the estate"}}},
		"no name": {users(unit(1, func(u *Unit) { u.Name = "" })), []mistake{{"spec.units[1].name", "", `as in "rz01"`}}},
		"name with a dot": {users(unit(0, func(u *Unit) { u.Name = "rz.01" })), []mistake{{"spec.units[0].name", "rz.01",
			"must not contain dots"}}},
		"unknown type": {shared(unit(1, func(u *Unit) { u.Type = "Town" })), []mistake{{"spec.units[1].type", "Town",
			`supported values: "Sharded", "Global", "City"`}}},
		"global beside sharded": {users(global("gz")), []mistake{{"spec.units[2].type", "Global",
			`must not be beside Sharded unit "rz01"`}}},
		"sharded beside global": {shared(func(s *UnitizationSpec) {
			s.Units = append(s.Units, sharded("rz01", 0, 0, "x", "hz-a"))
		}), []mistake{{"spec.units[2].type", "Sharded", `must not be beside Global unit "gz"`}}},
		"two global": {shared(global("gz2")), []mistake{
			{"spec.units[2].type", "Global", `must not be beside Global unit "gz"`}}},
		"city without global": {shared(func(s *UnitizationSpec) { s.Units = s.Units[1:] }), []mistake{{"spec.units", "",
			"must have a Global unit"}}},
		"global of 10 shards": {shared(func(s *UnitizationSpec) { s.Shards = 10 }, key("x", KeyModulo, 0)), []mistake{
			{"spec.units[0].type", "Global", "needs spec.shards to be 1, and it is 10"}}},
		"global with shards": {shared(unit(0, func(u *Unit) { u.Shards = []ShardRange{{0, 0}} })), []mistake{
			{"spec.units[0].shards", "", "must not be set: a Global unit owns the only shard"}}},
		"city with shards": {shared(unit(1, func(u *Unit) { u.Shards = []ShardRange{{0, 0}} })), []mistake{
			{"spec.units[1].shards", "", "must not be set: a City unit owns nothing"}}},
		"city with a store": {shared(unit(1, func(u *Unit) { u.Store = "x" })), []mistake{{"spec.units[1].store", "",
			"must not be set: a City unit owns nothing"}}},
		"city on standby": {shared(unit(1, func(u *Unit) { u.Cells[0].Standby = true })), []mistake{
			{"spec.units[1].cells[0].standby", true, "must not be set: a City unit takes no writes"}}},

		"no cells": {users(unit(0, func(u *Unit) { u.Cells = nil })), []mistake{{"spec.units[0].cells", "",
			"must have the cells that the unit runs in"}}},
		"city without cells": {shared(unit(1, func(u *Unit) { u.Cells = nil })), []mistake{{"spec.units[1].cells", "",
			"must have the cells"}}},
		"center twice": {users(unit(0, func(u *Unit) { u.Cells = cells("hz-a", "hz-a") })), []mistake{
			{"spec.units[0].cells[1].center", "hz-a", "a unit has one cell in a center"}}},
		"bad center": {users(unit(0, func(u *Unit) { u.Cells = cells("hz-a", "") })), []mistake{
			{"spec.units[0].cells[1].center", "", `as in "hz-a"`}}},
		"all standby": {users(unit(0, func(u *Unit) { u.Cells = cells("-hz-a", "-hz-b") })), []mistake{
			{"spec.units[0].cells", "", "must have a cell that is not standby"}}},
		"many units": {users(func(s *UnitizationSpec) { s.Units = make([]Unit, 1025) }), []mistake{{"spec.units", 1025,
			"must have at most 1024 items"}}},
		"many cells": {users(unit(0, func(u *Unit) { u.Cells = make([]Cell, 65) })), []mistake{{"spec.units[0].cells", 65,
			"must have at most 64 items"}}},
		"bad selector": {users(unit(0, func(u *Unit) {
			u.Cells[0].Clusters = &metav1.LabelSelector{MatchLabels: map[string]string{"a b": "c"}}
		})), []mistake{{"spec.units[0].cells[0].clusters.matchLabels", "a b", "name part must consist of"}}},

		"stop with guard": {users(storeless), nil},
		"several active without a store": {users(storeless, unit(1, func(u *Unit) { u.Cells = cells("hz-a", "hz-b") })),
			[]mistake{{"spec.units[1].store", "", "several active cells need one fence domain"}}},
		"stop without anything": {users(storeless, unguarded), []mistake{{"spec.units[1].store", "",
			"must be a Store with holdsPermit, or spec.guard must be true"}}},
		"keep": {users(keep), nil},
		"keep without a store": {users(keep, storeless), []mistake{{"spec.units[1].store", "",
			"with isolation Keep only its fence keeps a second writer out"}}},
		"bad store": {users(unit(0, func(u *Unit) { u.Store = "A" })), []mistake{{"spec.units[0].store", "A",
			"RFC 1123 label"}}},
	} {
		t.Run(name, func(t *testing.T) { expect(t, Validate(c.object), c.want...) })
	}
}

func TestValidateServices(t *testing.T) {
	service := func(edit func(*ServiceBinding)) edit { return func(s *UnitizationSpec) { edit(&s.Services[0]) } }
	typed := func(typ UnitType) edit { return service(func(b *ServiceBinding) { b.Type = typ }) }
	reads := func(paths ...string) *Unitization {
		return users(service(func(b *ServiceBinding) { b.Reads = paths }))
	}
	const name, typ, first = "spec.services[0].name", "spec.services[0].type", "spec.services[0].reads[0]"
	const form = "must be a gRPC path, /package.Service/Method, or /package.Service/* for all methods"
	for name, c := range map[string]struct {
		object *Unitization
		want   []mistake
	}{
		"none": {users(func(s *UnitizationSpec) { s.Services = nil }), nil},
		"twice": {users(func(s *UnitizationSpec) { s.Services = append(s.Services, s.Services[0]) }), []mistake{
			{"spec.services[1].name", "orders", "a service is bound once"}}},
		"many": {users(func(s *UnitizationSpec) { s.Services = make([]ServiceBinding, 1025) }), []mistake{
			{"spec.services", 1025, "must have at most 1024 items"}}},
		"no name":       {users(service(func(b *ServiceBinding) { b.Name = "" })), []mistake{{name, "", `as in "orders"`}}},
		"of a city":     {shared(typed(UnitCity)), []mistake{{typ, "City", `supported values: "Sharded", "Global"`}}},
		"global":        {users(typed(UnitGlobal)), []mistake{{typ, "Global", `and unit "rz01" is Sharded`}}},
		"sharded":       {shared(typed(UnitSharded)), []mistake{{typ, "Sharded", `and unit "gz" is Global`}}},
		"reads":         {reads("/a.b.C/D", "/C/*", "/a_1.C/D_2"), nil},
		"no slash":      {reads("a.B/Get"), []mistake{{first, "a.B/Get", form}}},
		"half a method": {reads("/a.B/G*"), []mistake{{first, "/a.B/G*", form}}},
		"no method":     {reads("/a.B/"), []mistake{{first, "/a.B/", form}}},
		"no service":    {reads("//C"), []mistake{{first, "//C", form}}},
		"any service":   {reads("/*/*"), []mistake{{first, "/*/*", form}}},
		"three parts":   {reads("/a/b/c"), []mistake{{first, "/a/b/c", form}}},
		"read twice":    {reads("/a.B/C", "/a.B/C"), []mistake{{"spec.services[0].reads[1]", "/a.B/C", "once is enough"}}},
		"many reads":    {reads(make([]string, 257)...), []mistake{{"spec.services[0].reads", 257, "at most 256 items"}}},
	} {
		t.Run(name, func(t *testing.T) { expect(t, Validate(c.object), c.want...) })
	}
}
