//go:build planted

package consensus

import "fmt"

// Plant breaks a rule on purpose. It is in no program that ships: simulations that show that they find it are built with
// the tag.
func (c *Config) Plant(rule string) {
	switch rule {
	case "heartbeatFastPath":
		c.break_.heartbeatFastPath = true
	case "countEarlierAnswers":
		c.break_.countEarlierAnswers = true
	case "joinInFlight":
		c.break_.joinInFlight = true
	case "trustAppliedIndex":
		c.break_.trustAppliedIndex = true
	case "skipOwnEntry":
		c.break_.skipOwnEntry = true
	case "noSync":
		c.break_.noSync = true
	case "noDiskTimeout":
		c.break_.noDiskTimeout = true
	case "forgetOwnSync":
		c.break_.forgetOwnSync = true
	case "noMend":
		c.break_.noMend = true
	case "stockBackoff":
		c.break_.stockBackoff = true
	case "enrollAnywhere":
		c.break_.enrollAnywhere = true
	case "forgetEnrolment":
		c.break_.forgetEnrolment = true
	case "trustPeers":
		c.break_.trustPeers = true
	case "takeLateSnapshots":
		c.break_.takeLateSnapshots = true
	case "starveHeartbeats":
		c.break_.starveHeartbeats = true
	case "trustNames":
		c.break_.trustNames = true
	case "trustSenders":
		c.break_.trustSenders = true
	case "joinTripUnderWay":
		c.break_.joinTripUnderWay = true
	case "trustFolders":
		c.break_.trustFolders = true
	case "promoteAnyone":
		c.break_.promoteAnyone = true
	case "changeBlindly":
		c.break_.changeBlindly = true
	case "strangersGetNoVote":
		c.break_.strangersGetNoVote = true
	case "countFormerVoters":
		c.break_.countFormerVoters = true
	case "standThoughFull":
		c.break_.standThoughFull = true
	case "cutWithoutRoom":
		c.break_.cutWithoutRoom = true
	case "forgiveSync":
		c.break_.forgiveSync = true
	default:
		panic(fmt.Sprintf("consensus: no rule %q", rule))
	}
}
