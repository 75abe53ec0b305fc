package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// machine says what the figures were taken on, and how busy it was with other things.
func machine() string {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		load = []byte("unknown")
	}
	return fmt.Sprintf("%s, %d cores, %s, load average at the start %s",
		runtime.Version(), runtime.NumCPU(), runtime.GOARCH, strings.TrimSpace(string(load)))
}

// contest is one load under which systems took turns; the first is the one that the others are compared with.
type contest struct {
	load    string
	systems []string
	figures map[string]*figures
}

func newContest(load string, systems ...string) *contest {
	c := &contest{load: load, systems: systems, figures: map[string]*figures{}}
	for _, s := range systems {
		c.figures[s] = &figures{}
	}
	return c
}

// report prints contests as a table: absolute figures, and ratios to the first system. A ratio of throughput above 1
// and one of a latency below 1 are better than the first system's.
func report(title string, contests []*contest) {
	fmt.Printf("\n%s\n", title)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "load\tsystem\tper second\tratio\tp50\tratio\tp99\tratio\tCPU each\tratio\tcount\t")
	for _, c := range contests {
		if len(c.systems) == 0 {
			continue
		}
		peer := c.figures[c.systems[0]]
		for _, name := range c.systems {
			f := c.figures[name]
			fmt.Fprintf(t, "%s\t%s\t%.0f\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t\n", c.load, name,
				f.rate(), ratio(f.rate(), peer.rate()),
				short(f.percentile(50)), ratio(float64(f.percentile(50)), float64(peer.percentile(50))),
				short(f.percentile(99)), ratio(float64(f.percentile(99)), float64(peer.percentile(99))),
				short(f.each()), ratio(float64(f.each()), float64(peer.each())), len(f.took))
		}
	}
	_ = t.Flush()
}

func ratio(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}

// short is a duration with three digits.
func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%dµs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%.2fms", float64(d.Microseconds())/1e3)
	}
	return fmt.Sprintf("%.2fs", d.Seconds())
}
