package oracle

import (
	"fmt"
	"slices"
	"time"
)

func spread(h History, b Bounds) Finding {
	f := Finding{Rule: RuleSpread, Bound: fmt.Sprintf("p99 at most %s", ms(b.Spread))}
	times := Spreads(h.Changes)
	p99 := Percentile(times, 0.99)
	f.Measured = fmt.Sprintf(
		"p50 %s, p99 %s, max %s of %d changes",
		ms(Percentile(times, 0.5)),
		ms(p99),
		ms(Percentile(times, 1)),
		len(times),
	)
	if p99 > b.Spread {
		f.violation("p99 is %s", ms(p99))
	}
	return f
}

// Spreads are the times of the changes that reached every data plane, sorted.
func Spreads(changes []Change) []time.Duration {
	var times []time.Duration
	for _, c := range changes {
		if !c.Superseded && len(c.Missing) == 0 && len(c.Arrivals) > 0 {
			times = append(times, c.Spread())
		}
	}
	slices.Sort(times)
	return times
}

// Percentile is the nearest-rank percentile of sorted times: the smallest one that at least that share does not exceed.
func Percentile(sorted []time.Duration, share float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(share*float64(len(sorted)) + 0.999999)
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// write judges the deaths of leaders: alone, or together with a region.
func write(h History, rule string, region bool, bound time.Duration) Finding {
	f := Finding{Rule: rule, Bound: fmt.Sprintf("at most %s", ms(bound))}
	var worst time.Duration
	judged, unjudged := 0, 0
	for _, e := range h.Elections {
		switch {
		case e.Region != region:
			continue
		case !majority(h, e.Killed, e.Killed.Add(bound)):
			unjudged++
			continue
		case e.Written == 0:
			f.violation("after %s was killed (step %s) no write was acknowledged", e.Old, e.Step)
		}
		judged++
		took := e.Written.Sub(e.Killed)
		worst = max(worst, took)
		if took > bound {
			f.violation("%s after %s was killed (step %s)", ms(took), e.Old, e.Step)
		}
	}
	f.Measured = "no leader was among the killed"
	if judged > 0 {
		f.Measured = ms(worst)
	}
	if unjudged > 0 {
		f.Measured += fmt.Sprintf(" (%d more were without a majority: somebody else ended servers)", unjudged)
	}
	return f
}

// majority says whether a majority of the servers ran throughout, the one that led and was killed at the beginning
// aside.
func majority(h History, from, to Time) bool {
	servers, running := map[string]bool{}, 0
	for _, l := range h.Lives {
		if l.Role != roleServer {
			continue
		}
		servers[l.Process] = true
		if l.Ready != 0 && l.Ready <= from && (l.End == 0 || min(l.Signal, l.End) > to) {
			running++
		}
	}
	return 2*running > len(servers)
}
