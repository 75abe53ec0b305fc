package route

import (
	"errors"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func users() Rules {
	return Rules{
		Unitization: "users", Shards: 100, Header: "x-user-id", Function: LastDigits,
		Overrides: map[string]int{"1203456": 7, "vip": 99},
		Services:  []Service{{Name: "orders", Reads: []string{"/orders.v1.Orders/Get", "/orders.v1.Views/*"}}},
	}
}

// expected is the same rule in math/big: key / 10^skip mod shards.
func expected(r Rules, key string) int {
	n, ok := new(big.Int).SetString(key, 10)
	if !ok {
		panic(key)
	}
	n.Div(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(r.Skip)), nil))
	return int(n.Mod(n, big.NewInt(int64(r.Shards))).Int64())
}

func TestShardIsWhatMathBigSays(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := Rules{Unitization: "u", Header: "x-id", Function: LastDigits}
		if rapid.Bool().Draw(rt, "modulo") {
			r.Function, r.Shards = Modulo, rapid.IntRange(2, MaxShards).Draw(rt, "shards")
		} else {
			r.Shards = rapid.SampledFrom([]int{10, 100, 1000, 10000}).Draw(rt, "shards")
			r.Skip = rapid.IntRange(0, 30).Draw(rt, "skip")
		}
		key := rapid.StringMatching(`[0-9]{1,70}`).Draw(rt, "key")
		table, err := CompileTable(r)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := table.Shard(key)
		if want := expected(r, key); err != nil || got != want {
			rt.Fatalf("%s of %d, skip %d: key %s: shard %d, %v, want %d", r.Function, r.Shards, r.Skip, key, got, err, want)
		}
	})
}

func TestKeyThatIsNotDecimalIsRefusedWhereverTheByteIs(t *testing.T) {
	for _, r := range []Rules{
		{Unitization: "u", Shards: 100, Header: "h", Function: LastDigits},
		{Unitization: "u", Shards: 97, Header: "h", Function: Modulo},
	} {
		table := must(CompileTable(r))(t)
		for length := 1; length <= 26; length++ {
			for at := range length {
				for b := range 256 {
					key := []byte(strings.Repeat("1", length))
					key[at] = byte(b)
					_, err := table.Shard(string(key))
					if decimal := b >= '0' && b <= '9'; decimal != (err == nil) {
						t.Fatalf("%s: key %q: %v", r.Function, key, err)
					}
				}
			}
		}
	}
}

func TestKeyErrorNamesTheKeyAndWhatWouldBeRight(t *testing.T) {
	table := must(CompileTable(users()))(t)
	for key, says := range map[string]string{
		"":       "is empty: must be a decimal id",
		"12x456": `"12x456": has 'x' at byte 2: must be a decimal id, digits 0 to 9 only`,
		" 7":     `has ' ' at byte 0`,
		"７":      "must be a decimal id",
		"-1":     `has '-' at byte 0`,
	} {
		_, err := table.Shard(key)
		var typed *KeyError
		if !errors.As(err, &typed) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "x-user-id") {
			t.Errorf("key %q: %v", key, err)
		}
	}
}

func TestOverrideGoesBeforeTheFunctionAndIsTakenAsSent(t *testing.T) {
	table := must(CompileTable(users()))(t)
	for key, want := range map[string]int{"1203456": 7, "01203456": 56, "vip": 99, "12034": 34, "5": 5, "007": 7} {
		if got, err := table.Shard(key); err != nil || got != want {
			t.Errorf("key %s: shard %d, %v, want %d", key, got, err, want)
		}
	}
}

func TestUnitizationsLiveSideBySide(t *testing.T) {
	merchants := Rules{
		Unitization: "merchants", Shards: 1024, Header: "x-merchant", Function: Modulo,
		Services: []Service{{Name: "settle"}},
	}
	shared := Rules{Unitization: "shared", Shards: 1, Services: []Service{{Name: "catalog"}}}
	tables := must(Compile([]Rules{users(), merchants, shared}))(t)
	for _, want := range []struct {
		service, key string
		shard        int
	}{{"orders", "4242", 42}, {"settle", "4242", 4242 % 1024}, {"catalog", "", 0}, {"catalog", "anything", 0}} {
		if got, err := tables.Service(want.service).Shard(want.key); err != nil || got != want.shard {
			t.Errorf("%s: key %q: shard %d, %v, want %d", want.service, want.key, got, err, want.shard)
		}
	}
	if tables.Service("assets") != nil || tables.Unitization("merchants").Header() != "x-merchant" {
		t.Error("tables are found by the wrong names")
	}
}

func TestWrongRulesAreRefusedNamingTheField(t *testing.T) {
	change := func(f func(*Rules)) []Rules {
		r := users()
		f(&r)
		return []Rules{r}
	}
	for says, rules := range map[string][]Rules{
		"unitization: \"\": is required":   change(func(r *Rules) { r.Unitization = "" }),
		"shards: 0: must be 1 to 16384":    change(func(r *Rules) { r.Shards = 0 }),
		"shards: 16385: must be":           change(func(r *Rules) { r.Shards = 16385 }),
		"shards: 120: must be a power":     change(func(r *Rules) { r.Shards = 120 }),
		"function: Function(0): must be":   change(func(r *Rules) { r.Function = 0 }),
		"header: \"X-User\": must be":      change(func(r *Rules) { r.Header = "X-User" }),
		"header: \"\": must be":            change(func(r *Rules) { r.Header = "" }),
		"skip: -1: must not":               change(func(r *Rules) { r.Skip = -1 }),
		"skip: 2: is for LastDigits only":  change(func(r *Rules) { r.Function, r.Skip = Modulo, 2 }),
		"overrides[\"vip\"]: 100: must be": change(func(r *Rules) { r.Overrides = map[string]int{"vip": 100} }),
		"overrides[\"\"]: 1: the key must": change(func(r *Rules) { r.Overrides = map[string]int{"": 1} }),
		"services[0].name":                 change(func(r *Rules) { r.Services[0].Name = "" }),
		"services[orders].reads: \"/x\"":   change(func(r *Rules) { r.Services[0].Reads = []string{"/x"} }),
		"services: orders: is there twice": change(func(r *Rules) { r.Services = append(r.Services, r.Services[0]) }),
		"is there twice":                   {users(), users()},
		"is in unitization \"users\" already": append(change(func(r *Rules) { r.Unitization = "users" }),
			change(func(r *Rules) { r.Unitization = "others" })...),
	} {
		if _, err := Compile(rules); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want an error with %q, got %v", says, err)
		}
	}
}

func TestShardHasOneSpelling(t *testing.T) {
	for _, text := range []string{"", "007", "07", "00", "+7", "-7", " 7", "7 ", "7,7", "7, 7", "7.0", "0x7", "1e1", "100",
		"99999", "100000", "18446744073709551623", "７", "7\x00", "\n7", "-0", "+0"} {
		_, err := ParseShard(text, 100)
		var typed *ShardError
		if !errors.As(err, &typed) || typed.Text != text || !strings.Contains(err.Error(), "0 to 99") {
			t.Errorf("shard %q: %v", text, err)
		}
	}
	for shard := range MaxShards {
		if got, err := ParseShard(FormatShard(shard), MaxShards); err != nil || got != shard {
			t.Fatalf("shard %d: %d, %v", shard, got, err)
		}
	}
}

func FuzzParseShard(f *testing.F) {
	for _, text := range []string{"7", "007", "+7", " 7", "7,7", "", "99", "100"} {
		f.Add(text, 100)
	}
	f.Fuzz(func(t *testing.T, text string, shards int) {
		if shards < 1 || shards > MaxShards {
			t.Skip("no number of shards that there can be")
		}
		shard, err := ParseShard(text, shards)
		if err == nil && (FormatShard(shard) != text || shard < 0 || shard >= shards) {
			t.Fatalf("%q was read as %d of %d", text, shard, shards)
		}
		if n, ok := new(big.Int).SetString(text, 10); err != nil && ok && n.String() == text && n.Sign() >= 0 &&
			n.Cmp(big.NewInt(int64(shards))) < 0 {
			t.Fatalf("%q of %d: %v", text, shards, err)
		}
	})
}

func FuzzKey(f *testing.F) {
	for _, key := range []string{"", "7", "007", "1203456", "12x", "123456789012345678901234567890", "/:0123456789"} {
		f.Add(key, 0)
	}
	f.Fuzz(func(t *testing.T, key string, skip int) {
		decimal := key != "" && strings.Trim(key, "0123456789") == ""
		for _, r := range []Rules{
			{Unitization: "u", Shards: 1000, Header: "h", Function: LastDigits, Skip: skip & 63},
			{Unitization: "u", Shards: 16381, Header: "h", Function: Modulo},
		} {
			table := must(CompileTable(r))(t)
			shard, err := table.Shard(key)
			if decimal != (err == nil) {
				t.Fatalf("key %q: %v", key, err)
			}
			if decimal && shard != expected(r, key) {
				t.Fatalf("%s: key %q: shard %d, want %d", r.Function, key, shard, expected(r, key))
			}
		}
	})
}

// must takes the results of a call: must(f())(t).
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
