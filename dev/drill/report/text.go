package report

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
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
	case r.Pass:
		return "PASS: every promise was kept"
	default:
		broken := 0
		for _, f := range r.Verdict.Findings {
			if !f.Pass {
				broken++
			}
		}
		return fmt.Sprintf("FAIL: %d of %d promises were broken", broken, len(r.Verdict.Findings))
	}
}

// Text writes the report for a terminal.
func (r Report) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n\n", r.Headline())
	fmt.Fprintf(&b, "  %-4s %-50s %s\n", "", "promise", "measured (bound)")
	for _, f := range r.Verdict.Findings {
		mark := "ok"
		if !f.Pass {
			mark = "NO"
		}
		fmt.Fprintf(&b, "  %-4s %-50s %s (%s)\n", mark, f.Rule, f.Measured, f.Bound)
		for _, example := range f.Examples {
			fmt.Fprintf(&b, "         - %s\n", example)
		}
		if more := f.Violations - len(f.Examples); more > 0 {
			fmt.Fprintf(&b, "         - and %d more\n", more)
		}
	}
	fmt.Fprintf(&b, "\n  %-2s %-20s %6s %8s %7s %9s %17s %19s\n", "", "step", "time", "requests", "errors", "in flight",
		"latency p50/p99", "change p50/p99/max")
	for _, s := range r.Steps {
		fmt.Fprintf(&b, "  %-2d %-20s %5.1fs %8d %7d %9d %17s %19s\n", s.Number, s.Name, s.To-s.From, s.Requests, s.Failed,
			s.InFlight+s.Unknown, pair(s.Latency), triple(s.Spread))
		for _, cause := range slices.Sorted(maps.Keys(s.Causes)) {
			fmt.Fprintf(&b, "       %d: %s\n", s.Causes[cause], cause)
		}
		for _, note := range s.Notes {
			fmt.Fprintf(&b, "       %s\n", note)
		}
	}
	b.WriteByte('\n')
	for _, e := range r.Figures.Elections {
		fmt.Fprintf(&b, "  leader %s killed (step %s): new leader %s after %.0f ms, acknowledged write after %.0f ms\n",
			e.Old, e.Step, e.New, e.LeaderMS, e.WriteMS)
	}
	if d := r.Figures.Detection; d.Count > 0 {
		fmt.Fprintf(&b, "  killed instance found by health checks, to the last data plane: p50 %.0f ms, max %.0f ms of %d\n", d.P50, d.Max, d.Count)
	}
	fmt.Fprintf(&b, "  %d requests in %.0f s, %d processes, %d CPUs\n", r.Figures.Requests, r.Seconds, r.Machine.Processes, r.Machine.CPUs)
	_, err := io.WriteString(w, b.String())
	return err
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
