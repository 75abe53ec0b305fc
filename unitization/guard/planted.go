//go:build planted

package guard

import "fmt"

// Plant breaks a rule on purpose. It is in no program that ships: simulations that show that they find it are built with
// the tag.
func (c *Config) Plant(rule string) {
	planted, ok := map[string]breakage{
		"brokenForever":           brokenForever,
		"brokenCountsFromAnswer":  brokenCountsFromAnswer,
		"brokenMonotonicOnly":     brokenMonotonicOnly,
		"brokenClosedWithFlights": brokenClosedWithFlights,
		"brokenCountsAfterCheck":  brokenCountsAfterCheck,
		"brokenGoesBack":          brokenGoesBack,
		"brokenFirstShard":        brokenFirstShard,
		"brokenUndeclaredReads":   brokenUndeclaredReads,
		"brokenStreamStart":       brokenStreamStart,
		"brokenAnyCell":           brokenAnyCell,
	}[rule]
	if !ok {
		panic(fmt.Sprintf("guard: no rule %q", rule))
	}
	c.broken |= planted
}
