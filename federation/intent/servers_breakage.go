package intent

// Rules about servers that a test breaks on purpose.
const (
	// brokenTokenNotSpent lets a token be used again.
	brokenTokenNotSpent breakage = 1 << (40 + iota)
	// brokenSpentNotSaved leaves out of the snapshot on whom tokens were spent.
	brokenSpentNotSaved
	// brokenLevelGate takes commands of any level.
	brokenLevelGate
	// brokenLevelLowered lets the level go back.
	brokenLevelLowered
	// brokenFolderReplaced takes a server with another folder for the one that was known.
	brokenFolderReplaced
	// brokenMembersNotSaved leaves the servers out of the snapshot.
	brokenMembersNotSaved
	// brokenTokenStillGood lets a server join with a token that was revoked.
	brokenTokenStillGood
)
