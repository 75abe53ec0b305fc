package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/model"
)

// raised waits until the estate has the level at which clusters can expire: the leader raises it when it knows that all
// servers know it.
func (s *shop) raised() {
	s.t.Helper()
	for i, server := range s.servers {
		eventually(s.t, "level 2 at "+s.configs[i].Name, patient, func() bool { return server.machine.Level() >= 2 })
	}
}

// withdrawals declares the Estate.
func (s *shop) withdrawals(w v1alpha1.Withdrawals) {
	s.t.Helper()
	_, err := s.api.Estates().Get(s.t.Context(), v1alpha1.EstateName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		create(s.t, s.api.Estates(), &v1alpha1.Estate{
			ObjectMeta: named(v1alpha1.EstateName), Spec: v1alpha1.EstateSpec{Withdrawals: w},
		})
		return
	}
	check(s.t, err)
	change(s.t, s.api.Estates(), v1alpha1.EstateName, func(o *v1alpha1.Estate) { o.Spec.Withdrawals = w })
}

// held waits until the Estate says that withdrawals are held back, and why; without a reason, that they are not.
func (s *shop) held(reason string, says ...string) {
	s.t.Helper()
	var last string
	eventually(s.t, "reason "+reason, patient, func() bool {
		o, err := s.api.Estates().Get(s.t.Context(), v1alpha1.EstateName, metav1.GetOptions{})
		check(s.t, err)
		c := meta.FindStatusCondition(o.Status.Conditions, v1alpha1.ConditionWithdrawalsHeld)
		if c == nil || c.Status != metav1.ConditionTrue {
			return reason == ""
		}
		last = c.Message
		return c.Reason == reason && !slices.ContainsFunc(says, func(want string) bool { return !strings.Contains(last, want) })
	})
	s.t.Logf("held back: %q: %s", reason, last)
}

// expired is a cluster's condition, as the API has it.
func (s *shop) expired(center string) metav1.ConditionStatus {
	s.t.Helper()
	c, err := s.api.Clusters().Get(s.t.Context(), cluster(center), metav1.GetOptions{ResourceVersion: "0"})
	check(s.t, err)
	if condition := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionExpired); condition != nil {
		return condition.Status
	}
	return ""
}

// unheard waits until all servers that run agree that they have not heard a cluster for a while, and longer than that.
func (s *shop) unheard(center string, during time.Duration) {
	s.t.Helper()
	for i, server := range s.servers {
		if server == nil {
			continue
		}
		eventually(s.t, fmt.Sprintf("silence of %s at %s", center, s.configs[i].Name), patient, func() bool {
			log, ok := server.feeds.Get(model.FeedID(cluster(center), "static"))
			if !ok {
				return false
			}
			age, heard := log.Age()
			return heard && age > during
		})
	}
}

// TestASilentClusterIsDemotedThenWithdrawnByAQuorumAlone follows one cluster whose agent dies.
func TestASilentClusterIsDemotedThenWithdrawnByAQuorumAlone(t *testing.T) {
	t.Parallel()
	s := newShop(t, 3, "s1", "s2", "s3")
	s.raised()
	near, far := s.plants["s1"], s.plants["s3"]
	near.settles("s1:1/s2:1/s3:1", patient)
	far.settles("s3:1/s1:1 s2:1", patient)
	s.keepFor("s2", "10s")
	settled := map[*plant]int{}
	for _, p := range []*plant{near, far} {
		_, settled[p] = p.since(0)
	}

	for _, dead := range []int{0, 1} { // before it is silent: how long that takes is nobody's guess
		s.stop(dead)
	}
	s.plants["s2"].stopAgent()
	near.settles("s1:1/s3:1/s2:1", patient) // demoted, by the relay's own judgement
	far.settles("s3:1/s1:1/s2:1", patient)
	s.unheard("s2", v1alpha1.MinKeepFor+10*time.Second)
	for p, n := range settled {
		answers, _ := p.since(n)
		for _, answer := range answers {
			if !contains(answer, "s1:1", "s2:1", "s3:1") {
				t.Fatalf("without a quorum %q is shown in %s", answer, p.center)
			}
		}
	}
	if s.servers[2].machine.View().Expired(cluster("s2")) {
		t.Fatal("expired without a quorum")
	}

	s.start(0)
	s.start(1)
	near.settles("s1:1/s3:1", patient) // when a majority has listened for keepFor
	far.settles("s3:1/s1:1", patient)
	if got := s.expired("s2"); got != metav1.ConditionTrue {
		t.Errorf("the Cluster's condition is %q", got)
	}
	own := s.plants["s2"]
	if !contains(own.shows(), "s2:1") {
		t.Errorf("the relay of the silent cluster withdrew its own: %q", own.shows())
	}
	for name, p := range s.plants { // demoted first, always
		answers, _ := p.since(0)
		for i := 1; i < len(answers); i++ {
			if contains(answers[i-1], "s2:1") && !contains(answers[i], "s2:1") && !strings.HasSuffix(answers[i-1], "/s2:1") {
				t.Errorf("%s: withdrawn without having been demoted: %q then %q", name, answers[i-1], answers[i])
			}
		}
	}

	s.plants["s2"].startAgent()
	near.settles("s1:1/s2:1/s3:1", patient)
	far.settles("s3:1/s1:1 s2:1", patient)
	eventually(t, "return in the intent", patient, func() bool { return s.expired("s2") == metav1.ConditionFalse })
}

// TestWithdrawalsAreHeldBackByTheSwitchAndTheBound: two of three clusters are silent.
func TestWithdrawalsAreHeldBackByTheSwitchAndTheBound(t *testing.T) {
	t.Parallel()
	s := newShop(t, 3, "s1", "s2", "s3")
	s.raised()
	near := s.plants["s1"]
	near.settles("s1:1/s2:1/s3:1", patient)
	s.keepFor("s2", "10s")
	s.keepFor("s3", "10s")
	all := int32(100)
	s.withdrawals(v1alpha1.Withdrawals{Stopped: true, MaxPercent: &all})
	_, settled := near.since(0)
	s.plants["s2"].stopAgent()
	s.plants["s3"].stopAgent()
	s.held(v1alpha1.ReasonStopped, "s2-vm, s3-vm")

	drop(t, s.api.Estates(), v1alpha1.EstateName)
	eventually(t, "a status that says so without an Estate", patient, func() bool {
		return slices.ContainsFunc(s.servers, func(one *Server) bool {
			held := one.status().Held
			return held != nil && held.Reason == v1alpha1.ReasonTooMany && strings.Contains(held.Message, "s2-vm, s3-vm")
		})
	})
	one := int32(1)
	s.withdrawals(v1alpha1.Withdrawals{MaxPercent: &all, MaxClusters: &one})
	s.held(v1alpha1.ReasonTooMany, "s2-vm, s3-vm", "spec.withdrawals.maxClusters 1")
	near.settles("s1:1/s2:1/s3:1", patient)
	answers, _ := near.since(settled) // in other orders while one alone is demoted
	if slices.ContainsFunc(answers, func(answer string) bool { return !contains(answer, "s1:1", "s2:1", "s3:1") }) ||
		s.expired("s2") != "" || s.expired("s3") != "" {
		t.Errorf("held back, %q are shown, conditions %q and %q", answers, s.expired("s2"), s.expired("s3"))
	}
	s.withdrawals(v1alpha1.Withdrawals{MaxPercent: &all})
	near.settles("s1:1", patient)
	s.held("")
	for i, one := range s.servers {
		eventually(t, "end of it in the status of "+s.configs[i].Name, patient, func() bool { return one.status().Held == nil })
	}
	drop(t, s.api.Clusters(), cluster("s3"))
	eventually(t, "end of the liveness of a deleted cluster", patient, func() bool {
		return !s.servers[0].machine.View().Expired(cluster("s3"))
	})
}
