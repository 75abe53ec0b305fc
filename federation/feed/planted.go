//go:build planted

package feed

import "fmt"

// Plant breaks a rule on purpose. It is in no program that ships: simulations that show that they find it are built with
// the tag.
func (c *Options) Plant(rule string) {
	planted, ok := map[string]breakage{
		"highestAtOpenOnly":   highestAtOpenOnly,
		"highestNotPassed":    highestNotPassed,
		"walkWithoutLock":     walkWithoutLock,
		"olderApplied":        olderApplied,
		"gapApplied":          gapApplied,
		"refusalKeepsStream":  refusalKeepsStream,
		"senderRemembers":     senderRemembers,
		"floorAtOpenOnly":     floorAtOpenOnly,
		"floorNotTaken":       floorNotTaken,
		"floorNotSaved":       floorNotSaved,
		"positionFromRecords": positionFromRecords,
		"wideningDropped":     wideningDropped,
		"filterNotCompared":   filterNotCompared,
		"servesWider":         servesWider,
		"noSecondStream":      noSecondStream,
		"keptNotCompared":     keptNotCompared,
		"digestCoversAt":      digestCoversAt,
		"digestsServeLater":   digestsServeLater,
		"keptFloorNotRaised":  keptFloorNotRaised,
		"sealNotCompared":     sealNotCompared,
		"filteredNotSealed":   filteredNotSealed,
		"freshCached":         freshCached,
		"freshThoughBehind":   freshThoughBehind,
		"removalForgotten":    removalForgotten,
		"labelNotSaved":       labelNotSaved,
		"labelNotTaken":       labelNotTaken,
	}[rule]
	if !ok {
		panic(fmt.Sprintf("feed: no rule %q", rule))
	}
	c.broken |= planted
}
