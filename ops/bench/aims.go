package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// mostUnavailable is how long, at most, nothing may be writable after the leader was killed, in 99 of 100 cases;
	// mostUnavailableFar where regions are apart.
	mostUnavailable, mostUnavailableFar = 1500 * time.Millisecond, 3 * time.Second
)

// aim is what should hold under several loads, with the worst of what was measured.
type aim struct {
	what   string
	loads  int
	rate   float64 // the lowest ratio of throughputs; 0: there is no aim for it
	p99    float64 // the highest ratio
	missed []string
	is     string // what was measured, where there is nothing to compare it with
}

// aim holds a system to the first one of a contest: at most its p99, and, if throughput counts, at least its throughput.
func (b *bench) aim(c *contest, what, system string, throughput bool) {
	if len(c.systems) < 2 || !slices.Contains(c.systems, system) {
		return
	}
	peer, own := c.figures[c.systems[0]], c.figures[system]
	rate, p99 := own.rate()/peer.rate(), float64(own.percentile(99))/float64(peer.percentile(99))
	i := slices.IndexFunc(b.aims, func(a *aim) bool { return a.what == what })
	if i < 0 {
		i = len(b.aims)
		b.aims = append(b.aims, &aim{what: what, p99: p99, rate: rate})
	}
	a := b.aims[i]
	a.loads++
	a.p99, a.rate = max(a.p99, p99), min(a.rate, rate)
	var missed []string
	if throughput && rate < 1 {
		missed = append(missed, fmt.Sprintf("throughput %.2f", rate))
	}
	if p99 > 1 {
		missed = append(missed, fmt.Sprintf("p99 %.2f", p99))
	}
	if len(missed) > 0 {
		a.missed = append(a.missed, fmt.Sprintf("%s (%s)", c.load, strings.Join(missed, ", ")))
	}
}

// unavailable holds the times without a leader to their aim.
func (b *bench) unavailable(what string, f *figures, most time.Duration) {
	a := &aim{what: "after kill -9 of the leader, " + what, loads: 1,
		is: fmt.Sprintf("p50 %s, p99 %s of %d kills; aim: p99 at most %s", short(f.percentile(50)), short(f.percentile(99)),
			len(f.took), short(most))}
	if f.percentile(99) > most {
		a.missed = []string{what}
	}
	b.aims = append(b.aims, a)
}

// concludes says which aims are met.
func (b *bench) concludes() {
	if len(b.aims) == 0 {
		return
	}
	fmt.Print("\nAims: beside etcd under the same load, at least its throughput (through an API: any) and at most its p99\n")
	for _, a := range b.aims {
		if a.is == "" {
			a.is = fmt.Sprintf("throughput at least %.2f, p99 at most %.2f of the peer's, in %d of %d loads both aims are met",
				a.rate, a.p99, a.loads-len(a.missed), a.loads)
		}
		verdict := "met"
		if len(a.missed) > 0 {
			verdict = "MISSED"
		}
		fmt.Printf("%8s  %s: %s\n", verdict, a.what, a.is)
		for _, load := range a.missed {
			if load != strings.TrimPrefix(a.what, "after kill -9 of the leader, ") {
				fmt.Printf("%8s  - %s\n", "", load)
			}
		}
	}
}
