//go:build planted

package sim

import (
	"time"

	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/server"
)

// unlessKept breaks a rule.
func unlessKept(plant func(string), rules ...string) {
	if !rulesKept() {
		for _, rule := range rules {
			plant(rule)
		}
	}
}

// inConsensus breaks a rule of consensus, and may set more.
func inConsensus(rule string, more func(*consensus.Config)) func(*server.Adjust) {
	return func(a *server.Adjust) {
		was := a.Consensus
		a.Consensus = func(c *consensus.Config) {
			was(c)
			unlessKept(c.Plant, rule)
			if more != nil {
				more(c)
			}
		}
	}
}

// inIntent breaks a rule of the state machine. Snapshots are taken all the time.
func inIntent(rule string) func(*server.Adjust) {
	return func(a *server.Adjust) {
		was := a.Consensus
		a.Consensus = func(c *consensus.Config) {
			was(c)
			c.SnapshotInterval, c.SnapshotThreshold, c.TrailingLogs = 3*time.Second, 4, 8
		}
		a.Intent = func(c *intent.Config) { unlessKept(c.Plant, rule) }
	}
}

// inFeeds breaks rules of feeds.
func inFeeds(rules ...string) func(*server.Adjust) {
	return func(a *server.Adjust) {
		was := a.Feeds
		a.Feeds = func(o *feed.Options) {
			was(o)
			unlessKept(o.Plant, rules...)
		}
	}
}

func init() {
	patient := func(c *consensus.Config) {
		c.HeartbeatTimeout, c.LeaderLease = 300*time.Millisecond, 300*time.Millisecond
		c.ElectionTimeout, c.RPCTimeout = 3*time.Second, 8*time.Second
	}
	plants = append(plants,
		plant{rule: "intent 1", name: "raft's heartbeats beside its main loop", bare: true,
			faults: each(lateVotes, 6*time.Second, 5*time.Second), adjust: inConsensus("heartbeatFastPath", patient)},
		plant{rule: "intent 2", name: "a read counts earlier answers", bare: true,
			faults: each(staleLeader, 6*time.Second, 5*time.Second), adjust: inConsensus("countEarlierAnswers", nil)},
		plant{rule: "intent 2", name: "a read joins one in flight", bare: true,
			faults: each(staleLeader, 6*time.Second, 5*time.Second), adjust: inConsensus("joinInFlight", nil)},
		plant{rule: "intent 2", name: "a read before an entry of the term", bare: true,
			often: []kind{elections, transfer, kill}, every: 3 * time.Second, adjust: inConsensus("skipOwnEntry", nil)},
		plant{rule: "intent 2", name: "a read trusts the applied index", bare: true, slowApply: 200 * time.Millisecond,
			often: []kind{transfer}, adjust: inConsensus("trustAppliedIndex", nil)},
		plant{rule: "an ack before fsync", name: "nothing is synced", bare: true, often: []kind{blackout, kill},
			adjust: inConsensus("noSync", nil)},
		plant{rule: "an ack before fsync", name: "a leader counts its own entry before the sync", bare: true,
			faults: each(lostSync, 10*time.Second, 9*time.Second), adjust: inConsensus("forgetOwnSync", nil)},
		plant{rule: "intent 4", name: "a failed sync taken for a good one", bare: true, often: []kind{failedSync, blackout, powerCut},
			every: 3 * time.Second, adjust: inConsensus("forgiveSync", nil)},
		plant{rule: "a torn tail", name: "a log's torn end left as it is", bare: true, often: []kind{powerCut, blackout},
			every: 3 * time.Second, adjust: inConsensus("noMend", nil)},
		plant{rule: "Raft", name: "a vote refused to whom an old configuration lacks", bare: true, often: []kind{demotion, isolate, split},
			adjust: inConsensus("strangersGetNoVote", nil)},
		plant{rule: "intent 2", name: "a read's majority is that of the start", bare: true, often: []kind{demotion, isolate, split},
			adjust: inConsensus("countFormerVoters", nil)},
	)
	for _, p := range []struct {
		rule, name, broken string
		units              bool
	}{
		{"intent 6", "a retried command is done again", "brokenNoDedup", false},
		{"intent 6", "answers left out of snapshots", "brokenAnswersNotSaved", false},
		{"intent 6", "a snapshot in the order of a map", "brokenSnapshotOrder", false},
		{"intent 7", "the revision is Raft's index", "brokenRevisionIsIndex", false},
		{"intent 7", "the feed stays where it is when no record changed", "brokenFeedProgress", false},
		{"intent 7", "the objects of an entry share a revision", "brokenOneRevision", true},
		{"feed 6", "the intent's feed goes on after a snapshot", "brokenFeedRestart", false},
		{"feed 7", "an entry's records are committed one by one", "brokenFeedPieces", true},
		{"intent 9", "status stays where a command names another object", "brokenStatusStays", true},
		{"intent 9", "ownership is taken as a person writes it", "brokenOwnedStatus", true},
		{"ownership 3", "a session and an acknowledgement take no revision", "brokenSilentSessions", true},
		{"ownership 3", "the ownership is not in the snapshot", "brokenOwnershipNotSaved", true},
		{"intent 8", "epochs begin at 0", "brokenEpochStart", true},
		{"join", "the servers are not in the snapshot", "brokenMembersNotSaved", false},
	} {
		made := plant{rule: p.rule, name: p.name, units: p.units, often: []kind{transfer, kill, elections, isolate}, adjust: inIntent(p.broken)}
		if !p.units && p.broken != "brokenSnapshotOrder" { // which is seen at once, and servers do not start from
			made.bare, made.faults = true, answersLost
		}
		plants = append(plants, made)
	}
	const unsealed = "sealNotCompared"
	for _, p := range []struct {
		rule, name string
		broken     []string
	}{
		{"feed 4", "highest heard at open only", []string{"highestAtOpenOnly"}},
		{"feed 4", "highest not passed on", []string{"highestNotPassed"}},
		{"feed 7", "a batch is walked while the log changes", []string{"walkWithoutLock", unsealed}},
		{"feed 9", "an older batch applied", []string{"olderApplied", unsealed}},
		{"feed 9", "a delta with a gap applied", []string{"gapApplied", "senderRemembers", unsealed}},
		{"feed 10", "a refused batch skipped", []string{"refusalKeepsStream", unsealed}},
		{"feed 11", "a sender remembers its readers", []string{"senderRemembers", unsealed}},
		{"feed 12", "tombstones lost: floor at open only", []string{"floorAtOpenOnly", unsealed}},
		{"feed 13", "tombstones lost: floor not taken", []string{"floorNotTaken", unsealed}},
		{"feed 14", "tombstones lost: floor not saved", []string{"floorNotSaved", unsealed}},
		{"feed 14", "a position from the records", []string{"positionFromRecords", unsealed}},
		{"feed 15", "a kept bucket is not compared at commit", []string{"keptNotCompared", unsealed}},
		{"feed 15", "digests cover positions", []string{"digestCoversAt", unsealed}},
		{"feed 15", "digests serve later batches", []string{"digestsServeLater", "keptNotCompared", unsealed}},
		{"feed 15", "the floor stays where a bucket was kept", []string{"keptFloorNotRaised", unsealed}},
	} {
		plants = append(plants, plant{
			rule: p.rule, name: p.name, faults: pathsStall, changes: 250 * time.Millisecond, services: 24, adjust: inFeeds(p.broken...),
		})
	}
	plants = append(plants, plant{rule: "feed 18", name: "a starved copy keeps its one stream", faults: pathsCut, adjust: inFeeds("noSecondStream")})
}
