package route

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestLookupIsWhatANaiveMapSays(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		shards := rapid.IntRange(1, 400).Draw(rt, "shards")
		naive := map[int]Range{}
		var ranges []Range
		for from := 0; from < shards; {
			to := rapid.IntRange(from, shards-1).Draw(rt, "to")
			unit := fmt.Sprintf("rz%02d", len(ranges))
			r := Range{From: from, To: to, Unit: unit, Cells: []string{unit + ".a"}, Since: uint64(from), Frozen: to%2 == 0}
			ranges = append(ranges, r)
			for ; from <= to; from++ {
				naive[from] = r
			}
		}
		m, err := CompileMap(shards, ranges)
		if err != nil {
			rt.Fatal(err)
		}
		for shard := -3; shard < shards+3; shard++ {
			unit, cells, frozen, since := m.Lookup(shard)
			want := naive[shard]
			if unit != want.Unit || !slices.Equal(cells, want.Cells) || frozen != want.Frozen || since != want.Since {
				rt.Fatalf("shard %d: %s %v %v %d, want %+v", shard, unit, cells, frozen, since, want)
			}
		}
	})
}

func TestMapThatDoesNotHoldEachShardOnceIsRefused(t *testing.T) {
	r := func(from, to int) Range { return Range{From: from, To: to, Unit: "rz01"} }
	for says, ranges := range map[string][]Range{
		"shard 0 has no owner":      {},
		"must begin at shard 0":     {r(1, 9)},
		"must begin at shard 5":     {r(0, 4), r(4, 9)},
		"ranges[1]: 6-9":            {r(0, 4), r(6, 9)},
		"must end at shard 0 to 9":  {r(0, 10)},
		"must end at shard 3 to 9":  {r(0, 2), r(3, 2)},
		"shard 9 has no owner":      {r(0, 8)},
		"unit is required":          {{From: 0, To: 9}},
		"must begin at shard 10":    {r(0, 9), r(0, 9)},
		"ranges[0]: -1-9: must beg": {r(-1, 9)},
	} {
		_, err := CompileMap(10, ranges)
		var typed *MapError
		if !errors.As(err, &typed) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: got %v, want %q", ranges, err, says)
		}
	}
	for _, shards := range []int{-1, 0, MaxShards + 1} {
		if _, err := CompileMap(shards, nil); err == nil || !strings.Contains(err.Error(), "must be 1 to 16384") {
			t.Errorf("%d shards: %v", shards, err)
		}
	}
}

func TestWhatIsNotDeclaredIsAWrite(t *testing.T) {
	m := must(CompileMethods([]string{"/orders.v1.Orders/Get", "/orders.v1.Views/*"}))(t)
	for path, read := range map[string]bool{
		"/orders.v1.Orders/Get":     true,
		"/orders.v1.Views/Any":      true,
		"/orders.v1.Orders/get":     false,
		"/orders.v1.Orders/GetAll":  false,
		"/orders.v1.Orders/Get/":    false,
		"/orders.v1.Orders":         false,
		"/orders.v1.Views/":         false,
		"/orders.v1.Views":          false,
		"/orders.v1.Views/a/b":      false,
		"/orders.v1.Views/..":       false,
		"/orders.v1.Views/.":        false,
		"/orders.v1.ViewsX/Any":     false,
		"//orders.v1.Views/Any":     false,
		"orders.v1.Views/Any":       false,
		"/orders.v1.Views//Any":     false,
		"/x/orders.v1.Views/Any":    false,
		"":                          false,
		"/":                         false,
		"*":                         false,
		"/orders.v1.Orders/Get?x=1": false,
	} {
		if got := m.Read(path); got != read {
			t.Errorf("%q: read %v, want %v", path, got, read)
		}
	}
	if (*Methods)(nil).Read("/orders.v1.Orders/Get") {
		t.Error("without a table a method is a read")
	}
	for _, wrong := range []string{"", "/", "*", "/*", "/a", "/a/", "//", "/a/b/c", "a/b",
		"/a*/b", "/a/b*", "/*/b", "/a//b", "/a/.."} {
		_, err := CompileMethods([]string{wrong})
		var typed *MethodError
		if !errors.As(err, &typed) || typed.Entry != wrong {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

func TestHTTPMethodMustBeSafeUnlessItIsGRPC(t *testing.T) {
	m := must(CompileMethods([]string{"/v1/orders"}))(t)
	for _, c := range []struct {
		method, path, contentType string
		read                      bool
	}{
		{"GET", "/v1/orders", "", true}, {"HEAD", "/v1/orders", "", true}, {"POST", "/v1/orders", "application/json", false},
		{"DELETE", "/v1/orders", "", false}, {"get", "/v1/orders", "", false}, {"GET", "/v1/other", "", false},
		{"POST", "/v1/orders", "application/grpc+proto", true}, {"POST", "/v1/other", "application/grpc", false},
		{"PUT", "/v1/orders", "application/grpc", false},
	} {
		if got := m.ReadHTTP(c.method, c.path, c.contentType); got != c.read {
			t.Errorf("%+v: read %v", c, got)
		}
	}
}

func TestExplainSaysWhichRuleDecided(t *testing.T) {
	m := must(CompileMap(100, []Range{
		{From: 0, To: 49, Unit: "rz01", Cells: []string{"rz01.hz-a", "rz01.hz-b"}, Since: 3<<31 + 1},
		{From: 50, To: 99, Unit: "rz02", Cells: []string{"rz02.sz-a"}, Frozen: true, Since: 3<<31 + 9},
	}))(t)
	skipping := users()
	skipping.Skip = 2
	modulo := users()
	modulo.Function = Modulo
	one := Rules{Unitization: "shared", Shards: 1}
	for _, c := range []struct {
		rules       Rules
		key         string
		rule, says  string
		shard       int
		unit, state string
	}{
		{users(), "1203456", "override", "an override gives key 1203456 shard 7", 7, "rz01", "Open"},
		{users(), "1203457", "lastDigits", "digits 6 to 7 of 7, 57", 57, "rz02", "Frozen"},
		{users(), "8", "lastDigits", "digits 1 to 1 of 1, 8, with zeros before them", 8, "rz01", "Open"},
		{skipping, "120345", "lastDigits", "digits 3 to 4 of 6, 03", 3, "rz01", "Open"},
		{skipping, "45", "lastDigits", "the key has no digits before its last 2", 0, "rz01", "Open"},
		{modulo, "1203457", "modulo", "1203457 modulo 100 is 57", 57, "rz02", "Frozen"},
	} {
		e, err := must(CompileTable(c.rules))(t).Explain(c.key, m)
		if err != nil || e.Rule != c.rule || e.Detail != c.says || e.Shard != c.shard ||
			e.Owner.Unit != c.unit || e.Owner.State != c.state {
			t.Errorf("key %s: %+v, %v", c.key, e, err)
		}
	}
	e := must(must(CompileTable(one))(t).Explain("", nil))(t)
	if e.Rule != "singleShard" || e.Owner != nil {
		t.Errorf("one shard: %+v", e)
	}
	if _, err := must(CompileTable(one))(t).Explain("", m); err == nil ||
		!strings.Contains(err.Error(), "100 shards: the rules have 1") {
		t.Errorf("a map of another size: %v", err)
	}
	if _, err := must(CompileTable(users()))(t).Explain("x", m); err == nil {
		t.Error("a wrong key was explained")
	}
}

func TestExplanationInTextAndJSON(t *testing.T) {
	m := must(CompileMap(100, []Range{
		{From: 0, To: 99, Unit: "rz01", Cells: []string{"rz01.hz-a", "rz01.hz-b"}, Since: 3<<31 + 1},
	}))(t)
	e := must(must(CompileTable(users()))(t).Explain("1203457", m))(t)
	const text = `unitization  users
key          1203457 (header x-user-id)
rule         lastDigits: digits 6 to 7 of 7, 57
shard        57 of 100
range        0-99
unit         rz01
cells        rz01.hz-a, rz01.hz-b
state        Open since 6442450945
`
	if e.String() != text {
		t.Errorf("text:\n%s", e)
	}
	const object = `{"unitization":"users","header":"x-user-id","key":"1203457",` +
		`"rule":"lastDigits","detail":"digits 6 to 7 of 7, 57","shards":100,"shard":57,` +
		`"owner":{"from":0,"to":99,"unit":"rz01","cells":["rz01.hz-a","rz01.hz-b"],"state":"Open",` +
		`"since":"6442450945"}}`
	if got := must(json.Marshal(e))(t); string(got) != object {
		t.Errorf("JSON:\n%s", got)
	}
}
