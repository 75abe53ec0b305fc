package oracle

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"pentad.dev/pentad/dev/sample/record"
)

// The rules.
const (
	RuleRemoved = "no request to a removed endpoint"
	RuleStarved = "no client without endpoints that existed"
	RuleLost    = "no acknowledged intent lost"
	RuleUnequal = "all holders equal"
	RuleErrors  = "errors outside killed processes"
	RuleReach   = "every endpoint change reaches every data plane"
	RuleSpread  = "endpoint's change to all data planes"
	RuleWrite   = "leader killed to acknowledged write"
	RuleRegion  = "region with the leader killed to acknowledged write"

	RuleWritten   = "every acknowledged write is at its owner, once"
	RuleOneWriter = "never two writers"
	RuleGuards    = "no guard lets a write through outside its permit"
	RulePlanned   = "write-unavailable in a planned switchover"
	RuleDisaster  = "disaster approved to writes taken again"
	RuleSteps     = "every step did what it is for"
	RuleSeen      = "enough was seen to judge"
)

// Rules are all rules, in the order of the report. Those from RulePlanned on are about speed.
func Rules() []string {
	return []string{
		RuleWritten, RuleOneWriter, RuleGuards, RuleRemoved, RuleStarved, RuleLost, RuleUnequal, RuleErrors, RuleReach,
		RuleSteps, RuleSeen, RulePlanned, RuleDisaster, RuleSpread, RuleWrite, RuleRegion,
	}
}

// examplesPerRule bounds what a verdict tells of one rule; the count is whole.
const examplesPerRule = 5

// Finding is what was found about one rule.
type Finding struct {
	Rule string `json:"rule"`
	// Speed says that it is about how fast things are, which hangs on the machine, not about whether a promise was kept.
	Speed bool `json:"speed,omitempty"`
	Pass  bool `json:"pass"`
	// Measured is the figure that was judged, in words.
	Measured string `json:"measured"`
	// Bound is what was promised, in words.
	Bound      string   `json:"bound"`
	Violations int      `json:"violations"`
	Examples   []string `json:"examples,omitempty"`
}

func (f *Finding) violation(format string, args ...any) {
	f.Violations++
	if len(f.Examples) < examplesPerRule {
		f.Examples = append(f.Examples, fmt.Sprintf(format, args...))
	}
}

// Verdict is the judgement.
type Verdict struct {
	// Pass says that every promise was kept, Fast that everything was as fast as it has to be.
	Pass     bool      `json:"pass"`
	Fast     bool      `json:"fast"`
	Findings []Finding `json:"findings"`
	// Accounts are the requests by what became of them; see Account.
	Accounts Accounts `json:"-"`
	// Outages are how long nobody took writes, by shard of each switchover.
	Outages []Outage `json:"-"`
}

// Judge holds a history to its bounds.
func Judge(h History, b Bounds) Verdict {
	x := newIndex(h)
	accounts := x.account()
	v := Verdict{Pass: true, Fast: true, Accounts: accounts}
	promises := []Finding{
		x.removed(b), x.starved(b), lost(h), unequal(h), errorRatio(accounts, b), reach(h), steps(h), seen(h),
	}
	speeds := []Finding{spread(h, b), write(h, RuleWrite, false, b.Write), write(h, RuleRegion, true, b.Region)}
	if u := h.Units; u != nil {
		v.Outages = outages(*u)
		promises = append([]Finding{written(*u), oneWriter(*u), admitted(*u)}, promises...)
		unitsSeen(&promises[len(promises)-1], *u)
		speeds = append([]Finding{unavailable(*u, v.Outages, b), recovered(*u, v.Outages, b)}, speeds...)
	}
	for _, f := range promises {
		f.Pass = f.Violations == 0
		v.Pass = v.Pass && f.Pass
		v.Findings = append(v.Findings, f)
	}
	for _, f := range speeds {
		f.Speed, f.Pass = true, f.Violations == 0
		v.Fast = v.Fast && f.Pass
		v.Findings = append(v.Findings, f)
	}
	return v
}

func errorRatio(a Accounts, b Bounds) Finding {
	counted := a.OK + a.Failed()
	f := Finding{Rule: RuleErrors, Bound: fmt.Sprintf("under %.2g %%", b.ErrorRatio*100)}
	ratio := 0.0
	if counted > 0 {
		ratio = float64(a.Failed()) / float64(counted)
	}
	f.Measured = fmt.Sprintf(
		"%.3f %% (%d of %d; %d more were in flight at a killed process)",
		ratio*100,
		a.Failed(),
		counted,
		a.InFlight,
	)
	if ratio >= b.ErrorRatio {
		f.violation("%s", f.Measured)
		for _, cause := range a.Causes() {
			f.Examples = append(f.Examples, fmt.Sprintf("%d: %s", a.ByCause[cause], cause))
		}
	}
	return f
}

func reach(h History) Finding {
	f := Finding{Rule: RuleReach, Bound: "all"}
	overtaken := 0
	for _, c := range h.Changes {
		if len(c.Missing) > 0 {
			f.violation("%s of %s (step %s) never reached %v", c.What, c.Instance, c.Step, c.Missing)
		}
		if c.Superseded {
			overtaken++
		}
	}
	f.Measured = fmt.Sprintf("%d of %d", len(h.Changes)-overtaken-f.Violations, len(h.Changes)-overtaken)
	return f
}

func steps(h History) Finding {
	f := Finding{Rule: RuleSteps, Bound: "all expectations met"}
	met := 0
	for _, e := range h.Expectations {
		if e.Met {
			met++
		} else {
			f.violation("step %s: %s: %s", e.Step, e.What, e.Detail)
		}
	}
	f.Measured = fmt.Sprintf("%d of %d met", met, len(h.Expectations))
	return f
}

// leastLoad is the share of its requests that a client must have been able to make.
const leastLoad = 0.7

// seen refuses to judge what was hardly there.
func seen(h History) Finding {
	f := Finding{Rule: RuleSeen, Bound: "some of each kind of event"}
	acknowledged := 0
	for _, w := range h.Writes {
		if w.Acknowledged {
			acknowledged++
		}
	}
	counts := []struct {
		what string
		n    int
	}{
		{"requests", len(h.Requests)}, {"clients", len(h.Clients)}, {"registrations", len(h.Registrations)},
		{"processes", len(h.Lives)}, {"acknowledged writes", acknowledged}, {"servers' final objects", len(h.Finals)},
		{"holders", len(h.Holders)}, {"endpoint changes", len(Spreads(h.Changes))}, {"leaders killed", len(h.Elections)},
		{"expectations", len(h.Expectations)},
	}
	for _, c := range counts {
		if c.n == 0 {
			f.violation("no %s", c.what)
		}
	}
	made, due := map[string]int{}, map[string]float64{}
	for _, r := range h.Requests {
		made[r.Client]++
	}
	for _, c := range h.Clients {
		due[c.Center] += c.To.Sub(c.From).Seconds() * c.Rate * float64(len(c.Services))
	}
	for _, center := range slices.Sorted(maps.Keys(due)) {
		if n := made[center]; float64(n) < due[center]*leastLoad {
			f.violation("the client in %s made %d requests of %.0f: the machine was too busy to judge", center, n, due[center])
		}
	}
	f.Measured = fmt.Sprintf("%d requests, %d changes, %d writes", len(h.Requests), len(h.Changes), len(h.Writes))
	return f
}

func ms(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", float64(d)/1e6)
	default:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
}

// Accounts are requests by what became of them.
type Accounts struct {
	OK int
	// InFlight failed because the process that they had been sent to was killed while they were under way.
	InFlight int
	// Unknown have no outcome: their client was killed.
	Unknown int
	// Sharded could be answered by one unit alone (a write, or a request to a sharded service): nobody else may while it
	// moves.
	Sharded int
	// ByCause are all other failures.
	ByCause map[string]int
}

// CauseDead is the cause of a request that was sent to a process that was gone, before its client noticed.
const CauseDead = "sent to a dead process before its end was noticed"

// Failed counts the failures that are held against the estate.
func (a Accounts) Failed() int {
	n := 0
	for _, count := range a.ByCause {
		n += count
	}
	return n
}

// Causes are the causes of failures, the most frequent first.
func (a Accounts) Causes() []string {
	var causes []string
	for cause := range a.ByCause {
		causes = append(causes, cause)
	}
	slices.SortFunc(causes, func(x, y string) int {
		if d := a.ByCause[y] - a.ByCause[x]; d != 0 {
			return d
		}
		if x < y {
			return -1
		}
		return 1
	})
	return causes
}

// Accountant says what became of single requests, for reports by time and step.
type Accountant struct{ x *index }

// NewAccountant reads the history's lives and registrations.
func NewAccountant(h History) Accountant { return Accountant{newIndex(h)} }

// Fates of requests, beside the causes of failures.
const (
	FateOK       = "ok"
	FateInFlight = "in flight at a killed process"
	FateUnknown  = "client killed"
	FateSharded  = "could be answered by an owner alone that was moving or gone"
)

// Fate is one of the fates, or the cause of a failure.
func (a Accountant) Fate(r record.Request) string { return a.x.fate(r) }
