package oracle

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// outages: how long nobody took writes, by shard of each switchover.
func outages(u UnitHistory) []Outage {
	byShard := map[[2]string][]Stored{} // by unitization and shard, in time
	for _, e := range slices.SortedFunc(slices.Values(u.Stored), func(a, b Stored) int { return cmp.Compare(a.At, b.At) }) {
		key := [2]string{e.Unitization, fmt.Sprint(e.Shard)}
		byShard[key] = append(byShard[key], e)
	}
	var all []Outage
	for _, s := range u.Switchovers {
		for _, moved := range s.Moved {
			for shard := moved.From; shard <= moved.To; shard++ {
				o := Outage{Switchover: s.Name, Unitization: moved.Unitization, Shard: shard, Closed: closedFor(u, s, moved, shard)}
				o.Gap, o.Recovery = gap(byShard[[2]string{moved.Unitization, fmt.Sprint(shard)}], s)
				all = append(all, o)
			}
		}
	}
	return all
}

// closedFor is the time from the first guard of the old cells that closed under the freeze, to when a guard of the new
// cells and the store were open. Negative: unknown, since nobody told (it was killed before it closed).
func closedFor(u UnitHistory, s Switchover, moved MovedRange, shard int) time.Duration {
	var closed, opened, store Time
	for _, d := range u.Doors {
		here := d.Unitization == moved.Unitization && d.From <= shard && shard <= d.To
		switch {
		case here && !d.Open && d.Since == s.Freeze && slices.Contains(moved.Cells, d.Cell):
			closed = earliest(closed, d.At)
		case here && d.Open && d.Since == s.Open && slices.Contains(moved.ToCells, d.Cell):
			opened = earliest(opened, d.At)
		case d.Store != "" && d.Store == moved.Store && d.Open && d.Since == s.Open:
			store = earliest(store, d.At)
		}
	}
	if closed == 0 || opened == 0 {
		return -1
	}
	return max(0, max(opened, store).Sub(closed))
}

func earliest(a, b Time) Time {
	if a == 0 || b < a {
		return b
	}
	return a
}

// gap is the longest time between two accepted writes of a shard that a switchover lay between, and the time from its
// approval to the first accepted write that came after the gap. Negative: never.
func gap(entries []Stored, s Switchover) (gap, recovery time.Duration) {
	gap, recovery = -1, -1
	for i := 1; i < len(entries); i++ {
		before, after := entries[i-1], entries[i]
		if after.At < s.Approved || s.Done != 0 && before.At > s.Done {
			continue
		}
		if d := after.At.Sub(before.At); d > gap {
			gap, recovery = d, max(0, after.At.Sub(s.Approved))
		}
	}
	return gap, recovery
}

// unavailable judges planned switchovers by how long their shards took no writes.
func unavailable(u UnitHistory, all []Outage, b Bounds) Finding {
	f := Finding{Rule: RulePlanned, Bound: fmt.Sprintf("at most %s for each shard", ms(b.Planned))}
	var times []time.Duration
	for _, o := range all {
		if disaster(u, o.Switchover) {
			continue
		}
		if o.Closed < 0 {
			f.violation("shard %d of %s: nobody told when it was closed or opened by %s", o.Shard, o.Unitization, o.Switchover)
			continue
		}
		times = append(times, o.Closed)
		if o.Closed > b.Planned {
			f.violation("shard %d of %s: %s in %s", o.Shard, o.Unitization, ms(o.Closed), o.Switchover)
		}
	}
	slices.Sort(times)
	f.Measured = fmt.Sprintf("p50 %s, max %s of %d", ms(Percentile(times, 0.5)), ms(Percentile(times, 1)), len(times))
	return f
}

// recovered judges disasters by how long after the approval writes were taken again.
func recovered(u UnitHistory, all []Outage, b Bounds) Finding {
	f := Finding{Rule: RuleDisaster, Bound: fmt.Sprintf("at most %s after the approval", ms(b.Disaster))}
	var times []time.Duration
	for _, o := range all {
		if !disaster(u, o.Switchover) {
			continue
		}
		if o.Recovery < 0 {
			f.violation("shard %d of %s took no writes after %s", o.Shard, o.Unitization, o.Switchover)
			continue
		}
		times = append(times, o.Recovery)
		if o.Recovery > b.Disaster {
			f.violation("shard %d of %s: %s in %s", o.Shard, o.Unitization, ms(o.Recovery), o.Switchover)
		}
	}
	slices.Sort(times)
	f.Measured = fmt.Sprintf("p50 %s, max %s of %d", ms(Percentile(times, 0.5)), ms(Percentile(times, 1)), len(times))
	return f
}

func disaster(u UnitHistory, name string) bool {
	i := slices.IndexFunc(u.Switchovers, func(s Switchover) bool { return s.Name == name })
	return i >= 0 && u.Switchovers[i].Disaster
}
