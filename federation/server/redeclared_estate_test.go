package server

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/model"
)

// TestAClusterDeclaredAnewHasNothingOfTheEarlierOne at a server that was down meanwhile; its agent is dead.
func TestAClusterDeclaredAnewHasNothingOfTheEarlierOne(t *testing.T) {
	t.Parallel()
	s := newShop(t, 3, "s1", "s2", "s3")
	id := model.FeedID(cluster("s2"), "static")
	before, err := s.api.Clusters().Get(t.Context(), cluster("s2"), metav1.GetOptions{})
	check(t, err)
	const nothing = "nothing"
	held := func(i int) string {
		if log, ok := s.servers[i].feeds.Get(id); ok && !log.Position().IsZero() {
			return log.Label()
		}
		return nothing
	}
	for i := range s.servers {
		eventually(t, "copy of the first Cluster at "+s.configs[i].Name, patient, func() bool { return held(i) == string(before.UID) })
	}
	s.plants["s2"].stopAgent()
	s.stop(0)
	c := s.operator(1, 2)
	drop(t, c.Clusters(), cluster("s2"))
	again := create(t, c.Clusters(), &v1alpha1.Cluster{ObjectMeta: named(cluster("s2")), Spec: v1alpha1.ClusterSpec{Center: "s2"}})
	s.start(0)
	for i := range s.servers {
		eventually(t, "end of what was at "+s.configs[i].Name, patient, func() bool {
			return held(i) == nothing && !onDisk(t, s.configs[i].DataDir, cluster("s2"))
		})
	}
	s.plants["s2"].startAgent()
	for i := range s.servers {
		eventually(t, "copy of the second Cluster at "+s.configs[i].Name, patient, func() bool { return held(i) == string(again.UID) })
	}
	s.plants["s1"].settles("s1:1/s2:1/s3:1", patient)
}
