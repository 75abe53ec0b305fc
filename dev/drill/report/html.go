package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
)

//go:embed report.html
var page string

// HTML writes the report as one page that needs nothing else.
func (r Report) HTML(w io.Writer) error {
	t, err := template.New("report").Funcs(template.FuncMap{
		"ms":      func(v float64) string { return fmt.Sprintf("%.1f", v) },
		"seconds": func(v float64) string { return fmt.Sprintf("%.1f", v) },
		"percent": func(v float64) string { return fmt.Sprintf("%.3f", v*100) },
		"most":    most, "pair": pair,
		"triple":   triple,
		"minus":    func(a, b float64) float64 { return a - b },
		"add":      func(a, b int) int { return a + b },
		"slowest":  slowest,
		"pictures": picture,
		"strength": strength,
		"causes":   func(m map[string]int) []string { return slices.Sorted(maps.Keys(m)) },
	}).Parse(page)
	if err != nil {
		return err
	}
	return t.Execute(w, r)
}

// slowest are the changes that took longest, the slowest first.
func slowest(changes []Change, n int) []Change {
	changes = slices.Clone(changes)
	slices.SortStableFunc(changes, func(a, b Change) int {
		switch {
		case a.SpreadMS > b.SpreadMS:
			return -1
		case a.SpreadMS < b.SpreadMS:
			return 1
		}
		return 0
	})
	return changes[:min(n, len(changes))]
}

// strength is the share of a client's answers that one center gave, as a CSS percentage.
func strength(s Served, center string) string {
	total := 0
	for _, n := range s {
		total += n
	}
	if total == 0 {
		return "0%"
	}
	return fmt.Sprintf("%.0f%%", 100*float64(s[center])/float64(total))
}
