package report

import (
	"fmt"
	"strings"
	"time"

	"pentad.dev/pentad/dev/drill/oracle"
)

// Units is what the report says of units.
type Units struct {
	// Writes are the clients' writes to sharded and global services: acknowledged, failed after every retry, without an
	// outcome.
	Writes       int `json:"writes"`
	Acknowledged int `json:"acknowledged"`
	Failed       int `json:"failed"`
	Unknown      int `json:"unknown"`
	// Refused counts refusals before the outcome, Readdressed the writes that were sent on to the cell that a refusal named.
	Refused     int          `json:"refused"`
	Readdressed int          `json:"readdressed"`
	Switchovers []Switchover `json:"switchovers"`
}

// Switchover is one switchover and what its shards saw of it.
type Switchover struct {
	Name     string `json:"name"`
	Step     string `json:"step"`
	Disaster bool   `json:"disaster"`
	Shards   int    `json:"shards"`
	// Seconds is from the approval to Done; negative: it was not done.
	Seconds float64 `json:"seconds"`
	// Closed is how long guards and stores took no writes, Gap the time between two accepted writes around it, Recovery the
	// time from the approval to the first accepted write afterwards. One value a shard.
	Closed   Distribution `json:"closed"`
	Gap      Distribution `json:"gap"`
	Recovery Distribution `json:"recovery"`
}

func buildUnits(u *oracle.UnitHistory, outages []oracle.Outage) *Units {
	if u == nil {
		return nil
	}
	r := &Units{Writes: len(u.Orders)}
	for _, o := range u.Orders {
		switch {
		case o.Acknowledged:
			r.Acknowledged++
		case o.Unknown:
			r.Unknown++
		default:
			r.Failed++
		}
		r.Refused += o.Refused
		if o.Readdressed {
			r.Readdressed++
		}
	}
	for _, s := range u.Switchovers {
		out := Switchover{Name: s.Name, Step: s.Step, Disaster: s.Disaster, Seconds: -1}
		if s.Done != 0 {
			out.Seconds = s.Done.Sub(s.Approved).Seconds()
		}
		var closed, gap, recovery []time.Duration
		for _, o := range outages {
			if o.Switchover == s.Name {
				out.Shards++
				closed, gap, recovery = known(closed, o.Closed), known(gap, o.Gap), known(recovery, o.Recovery)
			}
		}
		out.Closed, out.Gap, out.Recovery = Distribute(closed), Distribute(gap), Distribute(recovery)
		r.Switchovers = append(r.Switchovers, out)
	}
	return r
}

// known adds a time that is known.
func known(times []time.Duration, t time.Duration) []time.Duration {
	if t < 0 {
		return times
	}
	return append(times, t)
}

// text writes the switchovers as a table.
func (u *Units) text(b *strings.Builder) {
	if u == nil {
		return
	}
	fmt.Fprintf(b, "\n  %-26s %-14s %6s %8s %23s %23s %23s\n", "switchover", "step", "shards", "took",
		"no writes p50/max", "gap for users p50/max", "recovery p50/max")
	for _, s := range u.Switchovers {
		took := "-"
		if s.Seconds >= 0 {
			took = fmt.Sprintf("%.1fs", s.Seconds)
		}
		fmt.Fprintf(b, "  %-26s %-14s %6d %8s %23s %23s %23s\n", s.Name, s.Step, s.Shards, took, most(s.Closed), most(s.Gap),
			most(s.Recovery))
	}
	fmt.Fprintf(b, "  %d writes of users: %d acknowledged, %d failed, %d without an outcome; refused on the way %d times, %d sent on"+
		" to the right cell\n", u.Writes, u.Acknowledged, u.Failed, u.Unknown, u.Refused, u.Readdressed)
}

func most(d Distribution) string {
	if d.Count == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f / %.0f ms", d.P50, d.Max)
}
