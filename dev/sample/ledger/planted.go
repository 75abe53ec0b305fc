//go:build planted

package ledger

import "fmt"

// Plant breaks a rule on purpose. It is in no program that ships: simulations that show that they find it are built with
// the tag.
func (c *Config) Plant(rule string) {
	planted, ok := map[string]breakage{
		"brokenCompare":  brokenCompare,
		"brokenSync":     brokenSync,
		"brokenKeep":     brokenKeep,
		"brokenOrder":    brokenOrder,
		"brokenPermit":   brokenPermit,
		"brokenClaim":    brokenClaim,
		"brokenBegin":    brokenBegin,
		"brokenFirst":    brokenFirst,
		"brokenDedup":    brokenDedup,
		"brokenOldSince": brokenOldSince,
		"brokenChanged":  brokenChanged,
	}[rule]
	if !ok {
		panic(fmt.Sprintf("ledger: no rule %q", rule))
	}
	c.broken |= planted
}
