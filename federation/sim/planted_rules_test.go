//go:build planted

package sim

import (
	"math/rand/v2"
	"time"

	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/server"
	"pentad.dev/pentad/unitization/guard"
	"pentad.dev/pentad/unitization/permit"
)

func init() {
	for _, rule := range []struct{ name, rule string }{
		{"a read counts earlier answers", "countEarlierAnswers"},
		{"a read joins one in flight", "joinInFlight"},
		{"a read before an entry of the term", "skipOwnEntry"},
		{"a read trusts the applied index", "trustAppliedIndex"},
		{"a log's torn end left as it is", "noMend"},
		{"nothing is synced", "noSync"},
	} {
		plants = append(plants, plant{name: rule.name, often: []kind{elections, transfer, kill}, adjust: func(a *server.Adjust) {
			was := a.Consensus
			a.Consensus = func(c *consensus.Config) {
				was(c)
				c.Plant(rule.rule)
			}
		}})
	}
	for _, rule := range []struct{ name, rule string }{
		{"a retried command is done again", "brokenNoDedup"},
		{"answers left out of snapshots", "brokenAnswersNotSaved"},
		{"a snapshot in the order of a map", "brokenSnapshotOrder"},
		{"the feed goes on after a restore", "brokenFeedRestart"},
	} {
		plants = append(plants, plant{name: rule.name, often: []kind{transfer, kill, elections}, adjust: func(a *server.Adjust) {
			a.Intent = func(c *intent.Config) { c.Plant(rule.rule) }
		}})
	}
	for _, rule := range []struct{ name, rule string }{
		{"an older batch applied", "olderApplied"},
		{"a delta with a gap applied", "gapApplied"},
		{"a refused batch skipped", "refusalKeepsStream"},
		{"a sender remembers its readers", "senderRemembers"},
		{"tombstones lost: floor at open only", "floorAtOpenOnly"},
		{"tombstones lost: floor not taken", "floorNotTaken"},
		{"tombstones lost: floor not saved", "floorNotSaved"},
		{"a position from the records", "positionFromRecords"},
		{"highest heard at open only", "highestAtOpenOnly"},
		{"highest not passed on", "highestNotPassed"},
		{"a starved copy keeps its one stream", "noSecondStream"},
	} {
		plants = append(plants, plant{name: rule.name, often: []kind{isolate, oneWay, kill}, adjust: func(a *server.Adjust) {
			was := a.Feeds
			a.Feeds = func(o *feed.Options) {
				was(o)
				o.Plant(rule.rule)
			}
		}})
	}
	plants = append(plants,
		plant{name: "raft's heartbeats beside its main loop", bare: true, faults: votesComeLate, adjust: inConsensus("heartbeatFastPath", func(c *consensus.Config) {
			c.HeartbeatTimeout, c.LeaderLease, c.ElectionTimeout, c.RPCTimeout = 300*time.Millisecond, 300*time.Millisecond, 3*time.Second, 8*time.Second
		})},
		plant{name: "a guard goes on after its permit's end", units: true, often: []kind{isolate}, guard: func(c *guard.Config) {
			c.Plant("brokenForever")
		}},
		plant{name: "a relay acknowledges a freeze by position", units: true, hop: func(c *permit.HopConfig) {
			c.Plant("brokenAcksByPosition")
		}},
	)
}

// inConsensus breaks a rule of consensus.
func inConsensus(rule string, more func(*consensus.Config)) func(*server.Adjust) {
	return func(a *server.Adjust) {
		was := a.Consensus
		a.Consensus = func(c *consensus.Config) {
			was(c)
			c.Plant(rule)
			if more != nil {
				more(c)
			}
		}
	}
}

// votesComeLate has the leader hand over again and again to one whose votes come late.
func votesComeLate(rnd *rand.Rand, length time.Duration) (faults []fault) {
	for at := begins; at < length-settles; at += 6 * time.Second {
		faults = append(faults, fault{At: at, For: 5 * time.Second, Kind: lateVotes, On: centers[0], To: centers[rnd.IntN(len(centers))]})
	}
	return faults
}
