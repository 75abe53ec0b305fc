package oracle

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// written: every acknowledged write is in the owner's store once, and nowhere else.
func written(u UnitHistory) Finding {
	f := Finding{Rule: RuleWritten, Bound: "every one, once"}
	if len(u.Primaries) == 0 {
		f.violation("nothing is known of who owns what in the end")
		return f
	}
	type place struct {
		store  string
		shard  int
		copies int
	}
	owners := map[string]*place{}
	for _, log := range u.Logs {
		if u.Primaries[log.Store] != log.Member {
			continue
		}
		for _, e := range log.Entries {
			if p := owners[e.ID]; p != nil {
				p.copies++
				f.violation("write %s is there %d times: in store %s and in store %s", e.ID, p.copies, p.store, log.Store)
				continue
			}
			owners[e.ID] = &place{log.Store, e.Shard, 1}
		}
	}
	for store, member := range u.Primaries {
		if !slices.ContainsFunc(u.Logs, func(l StoreLog) bool { return l.Store == store && l.Member == member }) {
			f.violation("nothing is known of member %s, the primary of store %s", member, store)
		}
	}
	acknowledged := 0
	for _, o := range u.Orders {
		if !o.Acknowledged {
			continue
		}
		acknowledged++
		switch p := owners[o.ID]; {
		case p == nil:
			f.violation("write %s of the client in %s for shard %d was acknowledged and is not at its owner", o.ID, o.Client, o.Shard)
		case p.shard != o.Shard:
			f.violation("write %s for shard %d is stored under shard %d", o.ID, o.Shard, p.shard)
		}
	}
	f.Measured = fmt.Sprintf("%d acknowledged writes, %d stored", acknowledged, len(owners))
	return f
}

// reign is the time in which one member of a store accepted writes under one token.
type reign struct {
	token       uint64
	member      string
	first, last Stored
}

// oneWriter: the members of a store accept writes one after the other, each under a token of its own that grows.
func oneWriter(u UnitHistory) Finding {
	f := Finding{Rule: RuleOneWriter, Bound: "none"}
	reigns := map[string]map[uint64]*reign{}
	for _, e := range u.Stored {
		if reigns[e.Store] == nil {
			reigns[e.Store] = map[uint64]*reign{}
		}
		r := reigns[e.Store][e.Token]
		switch {
		case r == nil:
			reigns[e.Store][e.Token] = &reign{e.Token, e.By, e, e}
			continue
		case r.member != e.By:
			f.violation("store %s: members %s and %s both accepted writes under token %d (%s, %s)",
				e.Store, r.member, e.By, e.Token, r.last.ID, e.ID)
		}
		if e.At < r.first.At {
			r.first = e
		}
		if e.At > r.last.At {
			r.last = e
		}
	}
	all := 0
	for store, byToken := range reigns {
		inOrder := slices.SortedFunc(maps.Values(byToken), func(a, b *reign) int { return cmp.Compare(a.token, b.token) })
		all += len(inOrder)
		for i, r := range inOrder[1:] {
			if before := inOrder[i]; before.last.At > r.first.At {
				f.violation("store %s: %s accepted write %s under token %d %s after %s had accepted one under token %d",
					store, before.member, before.last.ID, before.token, ms(before.last.At.Sub(r.first.At)), r.member, r.token)
			}
		}
	}
	byShard(&f, u)
	f.Measured = fmt.Sprintf("%d writes under %d tokens in %d stores", len(u.Stored), all, len(reigns))
	return f
}

// byShard finds shards that two stores took writes for in turns: when a shard moves to another store, it moves once.
func byShard(f *Finding, u UnitHistory) {
	type shard struct {
		unitization string
		number      int
	}
	last, left := map[shard]Stored{}, map[shard]map[string]bool{}
	inTime := slices.SortedFunc(slices.Values(u.Stored), func(a, b Stored) int { return cmp.Compare(a.At, b.At) })
	for _, e := range inTime {
		key := shard{e.Unitization, e.Shard}
		if before, ok := last[key]; ok && before.Store != e.Store {
			if left[key] == nil {
				left[key] = map[string]bool{}
			}
			left[key][before.Store] = true
			if left[key][e.Store] && e.Token <= before.Token {
				f.violation("shard %d of %s: store %s accepted write %s after store %s had taken over", e.Shard,
					e.Unitization, e.Store, e.ID, before.Store)
			}
		}
		last[key] = e
	}
}

// admitted: every guard let through only what its permit allowed: its cell was active for the shard in an open range
// with that since; and once a later since was in force anywhere, nobody acted under an earlier one.
func admitted(u UnitHistory) Finding {
	f := Finding{Rule: RuleGuards, Bound: "none"}
	type version struct {
		unitization string
		since       uint64
	}
	ranges := map[version][]OwnedRange{}
	for _, m := range u.Maps {
		for _, r := range m.Ranges {
			ranges[version{m.Unitization, r.Since}] = append(ranges[version{m.Unitization, r.Since}], r)
		}
	}
	type shard struct {
		unitization string
		number      int
	}
	newest := map[shard]Admission{}
	inTime := slices.SortedFunc(slices.Values(u.Admitted), func(a, b Admission) int { return cmp.Compare(a.At, b.At) })
	for _, a := range inTime {
		allowed := slices.ContainsFunc(ranges[version{a.Unitization, a.Since}], func(r OwnedRange) bool {
			return r.From <= a.Shard && a.Shard <= r.To && !r.Frozen && slices.Contains(r.Cells, a.Cell)
		})
		if !allowed {
			f.violation("guard %s of cell %s let write %s for shard %d through under since %d, which no map gave it",
				a.Guard, a.Cell, a.ID, a.Shard, a.Since)
		}
		key := shard{a.Unitization, a.Shard}
		if n, ok := newest[key]; ok && n.Since > a.Since {
			f.violation("guard %s of cell %s let write %s for shard %d through %s after %s had under a later epoch",
				a.Guard, a.Cell, a.ID, a.Shard, ms(a.At.Sub(n.At)), n.Guard)
			continue
		}
		newest[key] = a
	}
	f.Measured = fmt.Sprintf("%d writes by guards of %d versions", len(u.Admitted), len(ranges))
	return f
}

// unitsSeen refuses to judge what was hardly there.
func unitsSeen(f *Finding, u UnitHistory) {
	acknowledged := 0
	for _, o := range u.Orders {
		if o.Acknowledged {
			acknowledged++
		}
	}
	for _, c := range []struct {
		what string
		n    int
	}{
		{"ownership maps", len(u.Maps)}, {"writes admitted by guards", len(u.Admitted)}, {"stored writes", len(u.Stored)},
		{"logs of stores", len(u.Logs)}, {"acknowledged orders", acknowledged}, {"switchovers", len(u.Switchovers)},
		{"doors", len(u.Doors)},
	} {
		if c.n == 0 {
			f.violation("no %s", c.what)
		}
	}
}
