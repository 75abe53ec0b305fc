package server

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// votersAre are the roles of five servers of which these vote.
func votersAre(names ...string) map[string]string {
	roles := map[string]string{"s1": "replica", "s2": "replica", "s3": "replica", "s4": "replica", "s5": "replica"}
	for _, name := range names {
		roles[name] = "voter"
	}
	return roles
}

// TestDeadServersLoseTheirVotesAndGetThemBack, one after the other, under load, and never so many that fewer vote than a
// majority of the five that operators want.
func TestDeadServersLoseTheirVotesAndGetThemBack(t *testing.T) {
	t.Parallel()
	e := layEstate(t, 5)
	dead := max(leastHealthy, 10*e.election.Duration) + 2*time.Second // longer than what makes a server unhealthy
	for i := range e.configs {
		e.configs[i].DeadAfter = &metav1.Duration{Duration: dead}
		e.start(i)
	}
	e.leader()
	c := e.operator(0, 1, 2, 3, 4)
	e.roles(c, votersAre("s1", "s2", "s3", "s4", "s5"))
	check := e.load(c, 2)
	e.stop(4)
	e.roles(c, votersAre("s1", "s2", "s3", "s4"))
	e.stop(3)
	e.roles(c, votersAre("s1", "s2", "s3"))
	e.stop(2)
	for began := time.Now(); time.Since(began) < 2*dead; time.Sleep(dead / 20) { // as sure as a new leader would be
		members, err := c.Members(t.Context())
		if err != nil {
			t.Logf("no answer: %v", err)
			continue
		}
		for _, m := range members.Members {
			if m.Name == "s3" && m.Role != "voter" {
				t.Fatalf("fewer than a majority of five vote: %+v", members)
			}
		}
	}
	e.roles(c, votersAre("s1", "s2", "s3"))
	for _, i := range []int{3, 4, 2} {
		e.start(i)
	}
	e.roles(c, votersAre("s1", "s2", "s3", "s4", "s5"))
	check()
	e.stop(0) // and they count: without two others, these three are a majority
	e.stop(1)
	e.leader()
	create(t, e.operator(2, 3, 4).Centers(), center("after", "r1")) // a write by those that came back
}
