//go:build planted

package permit

import "fmt"

// Plant breaks a rule on purpose. It is in no program that ships: simulations that show that they find it are built with
// the tag.
func (c *HopConfig) Plant(rule string) {
	planted, ok := map[string]breakage{
		"brokenCountFromAnswer": brokenCountFromAnswer,
		"brokenMonotonicOnly":   brokenMonotonicOnly,
		"brokenGrantsAll":       brokenGrantsAll,
		"brokenAcksByPosition":  brokenAcksByPosition,
		"brokenForgetsMoved":    brokenForgetsMoved,
		"brokenAcksAfterStart":  brokenAcksAfterStart,
		"brokenWaitsByWall":     brokenWaitsByWall,
		"brokenNoDrift":         brokenNoDrift,
		"brokenGoesBack":        brokenGoesBack,
		"brokenAnyCell":         brokenAnyCell,
	}[rule]
	if !ok {
		panic(fmt.Sprintf("permit: no rule %q", rule))
	}
	c.broken |= planted
}
