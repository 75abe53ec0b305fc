//go:build planted

package intent

import "fmt"

// Plant breaks a rule on purpose. It is in no program that ships: simulations that show that they find it are built with
// the tag.
func (c *Config) Plant(rule string) {
	planted, ok := map[string]breakage{
		"brokenRevisionIsIndex":   brokenRevisionIsIndex,
		"brokenNoDedup":           brokenNoDedup,
		"brokenAnswersNotSaved":   brokenAnswersNotSaved,
		"brokenDecode":            brokenDecode,
		"brokenOwnedFields":       brokenOwnedFields,
		"brokenReferences":        brokenReferences,
		"brokenSnapshotOrder":     brokenSnapshotOrder,
		"brokenFeedSpecs":         brokenFeedSpecs,
		"brokenFeedRestart":       brokenFeedRestart,
		"brokenFeedProgress":      brokenFeedProgress,
		"brokenOneHistory":        brokenOneHistory,
		"brokenCursors":           brokenCursors,
		"brokenOwnedStatus":       brokenOwnedStatus,
		"brokenStatusStays":       brokenStatusStays,
		"brokenOneRevision":       brokenOneRevision,
		"brokenFeedPieces":        brokenFeedPieces,
		"brokenSilentSessions":    brokenSilentSessions,
		"brokenOwnershipNotSaved": brokenOwnershipNotSaved,
		"brokenReapply":           brokenReapply,
		"brokenStalePlan":         brokenStalePlan,
		"brokenDeadline":          brokenDeadline,
		"brokenEpochStart":        brokenEpochStart,
		"brokenWithdrawalsSwitch": brokenWithdrawalsSwitch,
		"brokenWithdrawalsBound":  brokenWithdrawalsBound,
		"brokenExpiryStays":       brokenExpiryStays,
		"brokenExpiryNotSaved":    brokenExpiryNotSaved,
	}[rule]
	if !ok {
		panic(fmt.Sprintf("intent: no rule %q", rule))
	}
	c.broken |= planted
}
