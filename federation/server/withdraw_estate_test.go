package server

import (
	"os"
	"path/filepath"
	"testing"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
)

// onDisk says whether a process keeps a snapshot of a cluster's feed.
func onDisk(t *testing.T, dataDir, cluster string) bool {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dataDir, "feeds", cluster+"%2Fstatic.feed"))
	check(t, err)
	return len(found) > 0
}

// TestTheFeedsOfADeletedClusterAreGoneAndStayAway while its agent goes on, from memory and disk of servers and relays; one
// that is declared anew begins with what its agent says then.
func TestTheFeedsOfADeletedClusterAreGoneAndStayAway(t *testing.T) {
	t.Parallel()
	s := newShop(t, 3, "s1", "s2", "s3")
	near := s.plants["s1"]
	near.settles("s1:1/s2:1/s3:1", patient)
	id := model.FeedID(cluster("s2"), "static")
	kept := func() (all bool) {
		all = true
		for _, config := range s.configs {
			all = all && onDisk(t, config.DataDir, cluster("s2"))
		}
		return all && onDisk(t, near.relay.DataDir, cluster("s2"))
	}
	own := func() bool { return onDisk(t, s.plants["s2"].relay.DataDir, cluster("s2")) }
	eventually(t, "copies on all disks", patient, func() bool { return kept() && own() })

	drop(t, s.api.Clusters(), cluster("s2"))
	near.settles("s1:1/s3:1", patient)
	_, seen := near.since(0)
	gone := func(i int) {
		eventually(t, "end of the feed at "+s.configs[i].Name, patient, func() bool {
			_, held := s.servers[i].feeds.Get(id)
			return !held && !onDisk(t, s.configs[i].DataDir, cluster("s2"))
		})
	}
	for i := range s.servers {
		gone(i)
	}
	eventually(t, "end of the copies on disk", patient, func() bool {
		return !onDisk(t, near.relay.DataDir, cluster("s2")) && !onDisk(t, s.plants["s3"].relay.DataDir, cluster("s2"))
	})
	if !own() {
		t.Error("the relay in the cluster itself let go of it")
	}

	// Neither the agent that goes on, nor a server that starts again, brings it back.
	s.plants["s2"].runs(2)
	s.stop(0)
	s.start(0)
	eventually(t, "another feed at the server that started again", patient, func() bool {
		log, ok := s.servers[0].feeds.Get(model.FeedID(cluster("s3"), "static"))
		return ok && !log.Stale()
	})
	s.plants["s2"].stopAgent()
	s.plants["s2"].startAgent()
	s.plants["s3"].runs(1, 2) // what the agents say still arrives
	near.settles("s1:1/s3:1 s3:2", patient)
	for i := range s.servers {
		if log, held := s.servers[i].feeds.Get(id); held && !log.Position().IsZero() {
			t.Errorf("server %s holds it again", s.configs[i].Name)
		}
	}

	create(t, s.api.Clusters(), &v1alpha1.Cluster{ObjectMeta: named(cluster("s2")), Spec: v1alpha1.ClusterSpec{Center: "s2"}})
	near.settles("s1:1/s2:2/s3:1 s3:2", patient)
	s.plants["s3"].settles("s3:1 s3:2/s1:1 s2:2", patient)
	answers, _ := near.since(seen)
	for _, answer := range answers {
		if contains(answer, "s2:1") {
			t.Errorf("what it was before is shown again: %q", answers)
		}
	}
	eventually(t, "new copies on all disks", patient, kept)
}

// TestFeedsOfClustersThatNobodyKnowsAreCleanedUp: what is left on the disk of a server that was down when the Cluster was
// deleted, and whose log does not say so any more; but not what a writer still speaks for, nor without a leader.
func TestFeedsOfClustersThatNobodyKnowsAreCleanedUp(t *testing.T) {
	t.Parallel()
	e := layEstate(t, 1)
	set, err := feed.OpenSet(filepath.Join(e.configs[0].DataDir, "feeds"), feed.Options{})
	check(t, err)
	id := model.FeedID("forgotten", "static")
	_, err = set.Log(id).Begin(1<<50, []feed.Change{{Kind: model.KindService, Key: "x", Value: []byte("{}")}})
	check(t, err)
	check(t, set.Save(id))
	e.start(0)
	e.leader()
	s := e.servers[0]
	comes(t, "the table", s.ready)
	if log, ok := s.feeds.Get(id); !ok || !log.Stale() {
		t.Fatal("it is not there at the start")
	}
	s.feeds.Log(model.FeedID("early", "static")) // an agent that is earlier than its Cluster
	_, err = s.feeds.Log(model.FeedID("early", "static")).Begin(1<<50, nil)
	check(t, err)
	s.withdrawStrangers()
	if _, ok := s.feeds.Get(id); !ok {
		t.Error("it was removed while no Cluster is declared yet")
	}
	c := e.operator(0)
	create(t, c.Centers(), center("s1", "r1"))
	create(t, c.Clusters(), &v1alpha1.Cluster{ObjectMeta: named(cluster("s1")), Spec: v1alpha1.ClusterSpec{Center: "s1"}})
	eventually(t, "news of the Cluster", patient, func() bool {
		s.withdrawal.mu.Lock()
		defer s.withdrawal.mu.Unlock()
		return s.withdrawal.declared.Knows(cluster("s1"))
	})
	s.withdrawStrangers()
	if _, ok := s.feeds.Get(id); ok {
		t.Error("it is there for ever")
	}
	if _, ok := s.feeds.Get(model.FeedID("early", "static")); !ok {
		t.Error("the feed of a writer that speaks was removed")
	}
	left, err := os.ReadDir(filepath.Join(e.configs[0].DataDir, "feeds"))
	check(t, err)
	for _, entry := range left {
		if filepath.Ext(entry.Name()) == ".feed" && entry.Name() == "forgotten%2Fstatic.feed" {
			t.Error("it is on disk for ever")
		}
	}
}
