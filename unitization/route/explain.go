package route

import (
	"fmt"
	"strings"
)

// Explanation is how a key was routed. The JSON names are part of what `pentad route explain -o json` promises.
type Explanation struct {
	Unitization string `json:"unitization"`
	// Header carries the key; empty with one shard.
	Header string `json:"header,omitempty"`
	Key    string `json:"key,omitempty"`
	// Rule decided: override, lastDigits, modulo or singleShard.
	Rule string `json:"rule"`
	// Detail says the rule at work, in words.
	Detail string `json:"detail"`
	Shards int    `json:"shards"`
	Shard  int    `json:"shard"`
	// Owner is from the ownership map; nil when none was given.
	Owner *Owner `json:"owner,omitempty"`
}

// Owner is the range that the shard is in.
type Owner struct {
	From  int      `json:"from"`
	To    int      `json:"to"`
	Unit  string   `json:"unit"`
	Cells []string `json:"cells"`
	// State is Open or Frozen.
	State string `json:"state"`
	// Since is an epoch, as text because it has 64 bits.
	Since string `json:"since"`
}

// Explain says which rule gives the key its shard, and who owns it by the map, which may be nil. It fails with a
// *KeyError, or when the map is of another number of shards.
func (t *Table) Explain(key string, m *Map) (Explanation, error) {
	shard, err := t.Shard(key)
	if err != nil {
		return Explanation{}, err
	}
	e := Explanation{Unitization: t.name, Header: t.header, Key: key, Shards: int(t.shards), Shard: shard}
	e.Rule, e.Detail = t.decided(key, shard)
	if m == nil {
		return e, nil
	}
	if m.Shards() != e.Shards {
		return Explanation{}, fmt.Errorf("ownership map of unitization %q: %d shards: the rules have %d",
			t.name, m.Shards(), e.Shards)
	}
	r := m.Range(shard)
	e.Owner = &Owner{From: r.From, To: r.To, Unit: r.Unit, Cells: r.Cells, State: "Open", Since: fmt.Sprint(r.Since)}
	if r.Frozen {
		e.Owner.State = "Frozen"
	}
	return e, nil
}

func (t *Table) decided(key string, shard int) (rule, detail string) {
	if t.shards == 1 {
		return "singleShard", "the unitization has one shard"
	}
	if _, ok := t.overrides[key]; ok {
		return "override", fmt.Sprintf("an override gives key %s shard %d", key, shard)
	}
	if t.digits == 0 {
		return "modulo", fmt.Sprintf("%s modulo %d is %d", key, t.shards, shard)
	}
	to := len(key) - t.skip
	from := to - t.digits + 1
	switch {
	case to < 1:
		return "lastDigits", fmt.Sprintf("the key has no digits before its last %d", t.skip)
	case from < 1:
		return "lastDigits", fmt.Sprintf("digits 1 to %d of %d, %s, with zeros before them", to, len(key), key[:to])
	case from == to:
		return "lastDigits", fmt.Sprintf("digit %d of %d, %s", to, len(key), key[to-1:to])
	}
	return "lastDigits", fmt.Sprintf("digits %d to %d of %d, %s", from, to, len(key), key[from-1:to])
}

// String is for people.
func (e Explanation) String() string {
	var b strings.Builder
	line := func(name, value string) { fmt.Fprintf(&b, "%-12s %s\n", name, value) }
	line("unitization", e.Unitization)
	if e.Shards > 1 {
		line("key", fmt.Sprintf("%s (header %s)", e.Key, e.Header))
	}
	line("rule", fmt.Sprintf("%s: %s", e.Rule, e.Detail))
	line("shard", fmt.Sprintf("%d of %d", e.Shard, e.Shards))
	if e.Owner != nil {
		line("range", fmt.Sprintf("%d-%d", e.Owner.From, e.Owner.To))
		line("unit", e.Owner.Unit)
		line("cells", strings.Join(e.Owner.Cells, ", "))
		line("state", fmt.Sprintf("%s since %s", e.Owner.State, e.Owner.Since))
	}
	return b.String()
}
