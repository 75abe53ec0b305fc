package report

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"pentad.dev/pentad/dev/drill/oracle"
)

// JSON writes the report for programs.
func (r Report) JSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", " ")
	return encoder.Encode(r)
}

// Headline is the report in a line.
func (r Report) Headline() string {
	switch {
	case r.Interrupted != "":
		return "INTERRUPTED: " + r.Interrupted
	case r.Pass && r.Verdict.Fast:
		return "PASS: every promise was kept"
	case r.Pass:
		return fmt.Sprintf(
			"PASS: every promise was kept, but %d of %d bounds of speed were missed",
			r.broken(true),
			r.rules(true),
		)
	case r.Verdict.Pass:
		return fmt.Sprintf(
			"FAIL: every promise was kept, but %d of %d bounds of speed were missed",
			r.broken(true),
			r.rules(true),
		)
	default:
		return fmt.Sprintf("FAIL: %d of %d promises were broken", r.broken(false), r.rules(false))
	}
}

// broken and rules count the findings about speed, or those about promises.
func (r Report) broken(speed bool) (n int) {
	for _, f := range r.Verdict.Findings {
		if f.Speed == speed && !f.Pass {
			n++
		}
	}
	return n
}

func (r Report) rules(speed bool) (n int) {
	for _, f := range r.Verdict.Findings {
		if f.Speed == speed {
			n++
		}
	}
	return n
}

// Text writes the report for a terminal.
func (r Report) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n", r.Headline())
	for _, part := range []struct {
		name  string
		speed bool
		no    string
	}{{"promise", false, "NO"}, {"speed", true, "SLOW"}} {
		fmt.Fprintf(&b, "\n  %-4s %-50s %s\n", "", part.name, "measured (bound)")
		for _, f := range r.Verdict.Findings {
			if f.Speed == part.speed {
				finding(&b, f, part.no)
			}
		}
	}
	fmt.Fprintf(&b, "\n  %-2s %-20s %6s %8s %7s %9s %17s %19s\n", "", "step", "time", "requests", "errors", "in flight",
		"latency p50/p99", "change p50/p99/max")
	for _, s := range r.Steps {
		fmt.Fprintf(&b, "  %-2d %-20s %5.1fs %8d %7d %9d %17s %19s\n", s.Number, s.Name, s.To-s.From, s.Requests, s.Failed,
			s.InFlight+s.Unknown, pair(s.Latency), triple(s.Spread))
		if s.Sharded > 0 {
			fmt.Fprintf(&b, "       %d %s\n", s.Sharded, oracle.FateSharded)
		}
		for _, cause := range slices.Sorted(maps.Keys(s.Causes)) {
			fmt.Fprintf(&b, "       %d: %s\n", s.Causes[cause], cause)
		}
		for _, note := range s.Notes {
			fmt.Fprintf(&b, "       %s\n", note)
		}
	}
	r.Figures.Units.text(&b)
	b.WriteByte('\n')
	for _, e := range r.Figures.Elections {
		fmt.Fprintf(&b, "  leader %s killed (step %s): new leader %s after %.0f ms, acknowledged write after %.0f ms\n",
			e.Old, e.Step, e.New, e.LeaderMS, e.WriteMS)
	}
	if d := r.Figures.Detection; d.Count > 0 {
		fmt.Fprintf(
			&b,
			"  killed instance found by health checks, to the last data plane: p50 %.0f ms, max %.0f ms of %d\n",
			d.P50,
			d.Max,
			d.Count,
		)
	}
	fmt.Fprintf(
		&b,
		"  %d requests in %.0f s, %d processes, %d CPUs\n",
		r.Figures.Requests,
		r.Seconds,
		r.Machine.Processes,
		r.Machine.CPUs,
	)
	_, err := io.WriteString(w, b.String())
	return err
}

func finding(b *strings.Builder, f oracle.Finding, no string) {
	mark := "ok"
	if !f.Pass {
		mark = no
	}
	fmt.Fprintf(b, "  %-4s %-50s %s (%s)\n", mark, f.Rule, f.Measured, f.Bound)
	for _, example := range f.Examples {
		fmt.Fprintf(b, "         - %s\n", example)
	}
	if more := f.Violations - len(f.Examples); more > 0 {
		fmt.Fprintf(b, "         - and %d more\n", more)
	}
}

func pair(d Distribution) string {
	if d.Count == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f / %.1f ms", d.P50, d.P99)
}

func triple(d Distribution) string {
	if d.Count == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f / %.0f / %.0f ms", d.P50, d.P99, d.Max)
}
