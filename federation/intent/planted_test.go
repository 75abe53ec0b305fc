package intent

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pentad.dev/pentad/crds/v1alpha1"
)

// TestPlantedBugsAreFound breaks one rule after the other: a test that does not notice shows nothing.
func TestPlantedBugsAreFound(t *testing.T) {
	inTwins := func(config Config) error {
		return someSeed(func(seed uint64) error { return newTwins(seed, config).run(200) })
	}
	inWatches := func(config Config) error {
		return someSeed(func(seed uint64) error { return watched(seed, config, 200) })
	}
	inUnits := func(config Config) error {
		return someSeed(func(seed uint64) error {
			w := newTwins(seed, config)
			w.units = true
			return w.run(400)
		})
	}
	inServers := func(config Config) error {
		return someSeed(func(seed uint64) error {
			w := newTwins(seed, config)
			w.members = true
			return w.run(400)
		})
	}
	gated := func(config Config) error { return levelIsGated(t, config) }
	stale := func(config Config) error { return approvesStale(t, config) }
	clean := Config{History: 10}
	for _, find := range []func(Config) error{inTwins, inWatches, inUnits, inServers, gated, stale, reusedIndexes, passesOver} {
		if err := stopped(find)(clean); err != nil {
			t.Fatalf("found without a bug: %v", err)
		}
	}
	var table strings.Builder
	for _, bug := range []struct {
		rule breakage
		name string
		find func(Config) error
	}{
		{brokenRevisionIsIndex, "revision is the Raft index", inTwins},
		{brokenRevisionIsIndex, "revision is the Raft index (log begins again)", reusedIndexes},
		{brokenNoDedup, "a retry is applied again", inTwins},
		{brokenAnswersNotSaved, "answers are not in the snapshot", inTwins},
		{brokenDecode, "an undecodable entry is passed over", passesOver},
		{brokenOwnedFields, "status, uid, generation are taken as they come", inTwins},
		{brokenReferences, "unknown and Arbiter centers are accepted", inTwins},
		{brokenSnapshotOrder, "the snapshot is in the order of a map", inTwins},
		{brokenFeedSpecs, "the feed has status and all metadata", inTwins},
		{brokenFeedRestart, "the feed goes on after a restore", inTwins},
		{brokenFeedProgress, "the feed stays behind when no record changed", inTwins},
		{brokenOneHistory, "one history for all kinds", inWatches},
		{brokenCursors, "cursors live through a restore", inWatches},
		{brokenOwnedStatus, "owners, primaries, phases are taken as they come", inUnits},
		{brokenStatusStays, "status stays where a command does not name the object", inUnits},
		{brokenOneRevision, "the objects of an entry share a revision", inUnits},
		{brokenFeedPieces, "an entry's records are committed one by one", inUnits},
		{brokenSilentSessions, "a session and an acknowledgement take no revision", inUnits},
		{brokenOwnershipNotSaved, "the ownership is not in the snapshot", inUnits},
		{brokenReapply, "re-applying a Unitization makes its map anew", inUnits},
		{brokenStalePlan, "what is approved is not planned again", stale},
		{brokenDeadline, "what has expired is approved", inUnits},
		{brokenEpochStart, "epochs begin at 0", inUnits},
		{brokenTokenNotSpent, "a token is not spent", inServers},
		{brokenTokenStillGood, "a revoked token lets a server in", inServers},
		{brokenSpentNotSaved, "that a token is spent is not in the snapshot", inServers},
		{brokenMembersNotSaved, "the servers are not in the snapshot", inServers},
		{brokenLevelGate, "commands of any level are carried out", inServers},
		{brokenLevelGate, "commands of any level may be proposed", gated},
		{brokenLevelLowered, "the level goes back", inServers},
		{brokenFolderReplaced, "another data folder is taken for the one that was known", inServers},
	} {
		t.Run(bug.name, func(t *testing.T) {
			config := clean
			config.broken = bug.rule
			err := stopped(bug.find)(config)
			if err == nil {
				t.Fatal("not found")
			}
			first, _, _ := strings.Cut(err.Error(), "\n")
			fmt.Fprintf(&table, "%-54s %.110s\n", bug.name, first)
		})
	}
	t.Logf("planted bugs and what found them\n%s", table.String())
}

func someSeed(run func(seed uint64) error) error {
	for seed := range uint64(6) {
		if err := run(seed); err != nil {
			return fmt.Errorf("seed %d: %w", seed, err)
		}
	}
	return nil
}

// stopped makes a stop of the node an error: it is loud, which is what is asked.
func stopped(find func(Config) error) func(Config) error {
	return func(config Config) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("the node stopped: %v", p)
			}
		}()
		return find(config)
	}
}

// approvesStale approves a plan into a center that has closed since.
func approvesStale(t *testing.T, config Config) error {
	e := withUnits(t, config)
	e.add(evacuation("out", "hangzhou"))
	e.must(e.edit(v1alpha1.KindCenter, "sh-a", func(o v1alpha1.Object) {
		o.(*v1alpha1.Center).Spec.Phase = v1alpha1.CenterClosed
	}))
	if r := e.do(e.next(e.View().Ownership(), e.switchover("out"))); r.OK {
		return errors.New("a plan into a center that has closed is approved")
	}
	return nil
}

func passesOver(config Config) (err error) {
	for name, entry := range undecodable() {
		func() {
			defer func() {
				if recover() == nil {
					err = errors.Join(err, fmt.Errorf("%s: apply went on", name))
				}
			}()
			mustNew(config).Apply(1, entry)
		}()
	}
	return err
}
