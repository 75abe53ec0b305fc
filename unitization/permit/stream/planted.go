//go:build planted

package stream

import "fmt"

// Plant breaks a rule on purpose. It is in no program that ships: simulations that show that they find it are built with
// the tag.
func (c *RootConfig) Plant(rule string) {
	planted, ok := map[string]breakage{
		"brokenJoinsPresent":  brokenJoinsPresent,
		"brokenStaleState":    brokenStaleState,
		"brokenUnregistered":  brokenUnregistered,
		"brokenClosedSession": brokenClosedSession,
	}[rule]
	if !ok {
		panic(fmt.Sprintf("stream: no rule %q", rule))
	}
	c.broken |= planted
}
