package intent

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/federation/model"
)

// raised is a level at which clusters can expire.
func (e *estate) raised() *estate {
	e.t.Helper()
	c := e.command()
	c.Operation = &intentpb.Command_SetServer{SetServer: &intentpb.SetServer{Server: &intentpb.Server{
		Name: "s1", Region: "r", Center: "c", Folder: string(e.uid()), Raft: "10.0.0.1:1", Grpc: "10.0.0.1:2", Api: "10.0.0.1:3",
		Level: livenessLevel, Version: "test", Voter: true,
	}}}
	e.must(c)
	c = e.command()
	c.Operation = &intentpb.Command_RaiseLevel{RaiseLevel: &intentpb.RaiseLevel{Level: livenessLevel}}
	e.must(c)
	return e
}

// inClusters is an estate of a few clusters that may all be withdrawn at once.
func inClusters(t *testing.T, config Config, clusters ...string) *estate {
	t.Helper()
	e := newEstate(t, config).raised()
	e.add(center("hz-a", "hangzhou", v1alpha1.CenterFull))
	for _, name := range clusters {
		e.add(cluster(name, "hz-a"))
	}
	e.add(withdrawing(func(w *v1alpha1.Withdrawals) { w.MaxPercent = new(int32(100)) }))
	return e
}

func withdrawing(edit func(*v1alpha1.Withdrawals)) *v1alpha1.Estate {
	o := &v1alpha1.Estate{}
	o.Name = v1alpha1.EstateName
	edit(&o.Spec.Withdrawals)
	return o
}

// uidOf is a cluster's; another one when there is none.
func (e *estate) uidOf(name string) string {
	if c, ok := find[*v1alpha1.Cluster](e.View().objects, v1alpha1.KindCluster, name); ok {
		return string(c.UID)
	}
	return string(e.uid())
}

func (e *estate) liveness(expired bool, clusters ...string) *intentpb.Command {
	c, o := e.command(), &intentpb.SetLiveness{}
	for _, name := range clusters {
		o.Clusters = append(o.Clusters, &intentpb.ClusterLiveness{Cluster: name, Uid: e.uidOf(name), Expired: expired})
	}
	c.Operation = &intentpb.Command_SetLiveness{SetLiveness: o}
	return c
}

// shown is a cluster's condition, as it is stored.
func (e *estate) shown(name string) metav1.ConditionStatus {
	stored, ok := e.View().Get(v1alpha1.KindCluster, name)
	if !ok {
		return "none"
	}
	if c := meta.FindStatusCondition(typed(stored).(*v1alpha1.Cluster).Status.Conditions, v1alpha1.ConditionExpired); c != nil {
		return c.Status
	}
	return ""
}

func (e *estate) refused(t *testing.T, c *intentpb.Command, field, detail string) {
	t.Helper()
	at := e.Revision()
	r := e.do(c)
	if r.OK || len(r.Refused) == 0 || r.Refused[0].Field != field || !strings.Contains(r.Refused[0].Message, detail) {
		t.Errorf("%v: %+v, want a refusal of %s: %s", c.GetOperation(), r, field, detail)
	}
	if e.Revision() != at {
		t.Errorf("the refusal of %s took a revision", field)
	}
}

func TestAnExpiryIsAStatusARecordAndInEverySnapshot(t *testing.T) {
	e := inClusters(t, Config{}, "a", "b")
	from := e.Feed().Position()
	r := e.must(e.liveness(true, "a"))
	if r.Revision != e.Feed().Position().Seq || from.Seq+1 != r.Revision {
		t.Errorf("revision %d, the feed went from %s to %s", r.Revision, from, e.Feed().Position())
	}
	if !e.View().Expired("a") || e.View().Expired("b") || e.shown("a") != metav1.ConditionTrue || e.shown("b") != "" {
		t.Errorf("a: %s, b: %q", e.shown("a"), e.shown("b"))
	}
	record, ok := e.Feed().Get(model.KindLiveness, "a")
	if !ok {
		t.Fatal("no record")
	}
	if _, err := model.DecodeLiveness(record.Key, record.Value); err != nil {
		t.Error(err)
	}
	if again := e.must(e.liveness(true, "a")); again.Revision != r.Revision {
		t.Error("what is so already took a revision")
	}
	// An operator changes the cluster: the condition stays.
	e.must(e.edit(v1alpha1.KindCluster, "a", func(o v1alpha1.Object) { o.SetLabels(map[string]string{"x": "y"}) }))
	if e.shown("a") != metav1.ConditionTrue {
		t.Error("an update lost the condition")
	}
	twin := newEstate(t, Config{})
	if err := twin.Restore(bytes.NewReader(save(e.FSM))); err != nil {
		t.Fatal(err)
	}
	if _, ok := twin.Feed().Get(model.KindLiveness, "a"); !ok || !twin.View().Expired("a") || !bytes.Equal(save(twin.FSM), save(e.FSM)) {
		t.Error("the snapshot lost the expiry")
	}
	e.must(e.liveness(false, "a"))
	if _, ok := e.Feed().Get(model.KindLiveness, "a"); ok || e.View().Expired("a") || e.shown("a") != metav1.ConditionFalse {
		t.Errorf("live again: %s", e.shown("a"))
	}
}

func TestWhatMayNotExpireIsRefused(t *testing.T) {
	e := inClusters(t, Config{}, "a", "b", "c", "d")
	e.must(e.edit(v1alpha1.KindCluster, "d", func(o v1alpha1.Object) {
		o.(*v1alpha1.Cluster).Spec.OnSilence = &v1alpha1.OnSilence{KeepFor: "never"}
	}))
	e.refused(t, e.liveness(true, "x"), "clusters[0].cluster", "declared Cluster")
	e.refused(t, e.liveness(true, "a", "d"), "clusters[1].expired", "keepFor")
	stale := e.liveness(true, "a")
	e.must(e.remove(v1alpha1.KindCluster, "a"))
	e.add(cluster("a", "hz-a"))
	e.refused(t, stale, "clusters[0].uid", "that of cluster")

	bound := func(edit func(*v1alpha1.Withdrawals)) {
		e.must(e.edit(v1alpha1.KindEstate, v1alpha1.EstateName, func(o v1alpha1.Object) {
			edit(&o.(*v1alpha1.Estate).Spec.Withdrawals)
		}))
	}
	bound(func(w *v1alpha1.Withdrawals) { w.MaxPercent = new(int32(50)) })
	e.must(e.liveness(true, "b"))
	e.refused(t, e.liveness(true, "a", "c"), "clusters", "spec.withdrawals.maxPercent 50 of 4")
	bound(func(w *v1alpha1.Withdrawals) { w.MaxClusters = new(int32(1)) })
	e.refused(t, e.liveness(true, "a"), "clusters", "spec.withdrawals.maxClusters 1")
	bound(func(w *v1alpha1.Withdrawals) { w.MaxClusters, w.Stopped = nil, true })
	e.refused(t, e.liveness(true, "a"), "clusters", "spec.withdrawals.stopped")
	e.must(e.liveness(false, "b")) // what is back is back, whatever is stopped
	if r := e.must(e.remove(v1alpha1.KindEstate, v1alpha1.EstateName)); !r.OK {
		t.Error("the Estate cannot be deleted")
	}
	e.must(e.liveness(true, "a", "b")) // by default, half
	e.refused(t, e.liveness(true, "c"), "clusters", "at most 2")
}

func TestTheEstateSaysWhatIsHeldBackAndNobodyElseDoes(t *testing.T) {
	e := inClusters(t, Config{}, "a")
	held := func(reason string) *intentpb.Command {
		c := e.liveness(true)
		if reason != "" {
			c.GetSetLiveness().Held = &intentpb.Held{Reason: reason, Message: "because"}
		}
		return c
	}
	says := func() string {
		stored, _ := e.View().Get(v1alpha1.KindEstate, v1alpha1.EstateName)
		o := typed(stored).(*v1alpha1.Estate)
		c := meta.FindStatusCondition(o.Status.Conditions, v1alpha1.ConditionWithdrawalsHeld)
		if c == nil {
			return fmt.Sprint(o.Status.ObservedGeneration)
		}
		return fmt.Sprint(o.Status.ObservedGeneration, " ", c.Status, " ", c.Reason)
	}
	at := e.Revision()
	e.must(held(""))
	if e.Revision() != at || says() != "1" {
		t.Errorf("nothing held: revision %d after %d, %s", e.Revision(), at, says())
	}
	e.must(held(v1alpha1.ReasonTooMany))
	if at := e.Revision(); says() != "1 True TooMany" || e.must(held(v1alpha1.ReasonTooMany)).Revision != at {
		t.Errorf("held: %s, at %d after %d", says(), e.Revision(), at)
	}
	e.must(e.change(v1alpha1.KindEstate, v1alpha1.EstateName, func(o v1alpha1.Object) {
		o.(*v1alpha1.Estate).Spec.Withdrawals.Stopped = true
		o.SetGeneration(2)
	}))
	if says() != "2 True TooMany" {
		t.Errorf("after an update: %s", says())
	}
	e.must(held(""))
	if says() != "2 False NothingHeld" {
		t.Errorf("nothing held any more: %s", says())
	}
	e.refused(t, e.change(v1alpha1.KindEstate, v1alpha1.EstateName, func(o v1alpha1.Object) {
		o.(*v1alpha1.Estate).Status.Conditions = nil
	}), "status.conditions", "written by Pentad alone")
	e.refused(t, e.change(v1alpha1.KindCluster, "a", func(o v1alpha1.Object) {
		meta.SetStatusCondition(&o.(*v1alpha1.Cluster).Status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionExpired, Status: metav1.ConditionTrue, Reason: "x",
		})
	}), "status.conditions", "written by Pentad alone")
}

func TestWhatOlderServersDoNotKnowNeedsItsLevel(t *testing.T) {
	e := newEstate(t, Config{})
	e.add(center("hz-a", "hangzhou", v1alpha1.CenterFull))
	e.add(cluster("a", "hz-a"))
	silent := cluster("b", "hz-a")
	silent.Spec.OnSilence = &v1alpha1.OnSilence{KeepFor: "1h"}
	for what, c := range map[string]*intentpb.Command{
		"Estate":         e.creation(v1alpha1.KindEstate, "estate", toJSON(e.fresh(withdrawing(func(*v1alpha1.Withdrawals) {}), e.View().Lookup()))),
		"onSilence, new": e.creation(v1alpha1.KindCluster, "b", toJSON(e.fresh(silent, e.View().Lookup()))),
		"onSilence": e.edit(v1alpha1.KindCluster, "a", func(o v1alpha1.Object) {
			o.(*v1alpha1.Cluster).Spec.OnSilence = &v1alpha1.OnSilence{}
		}),
		"SetLiveness": e.liveness(true, "a"),
	} {
		var level *LevelError
		if err := e.Check(encode(c)); !errors.As(err, &level) || level.Needs != livenessLevel {
			t.Errorf("%s at level 1: %v", what, err)
		}
		if r := e.do(c); r.OK {
			t.Errorf("%s is applied at level 1", what)
		}
	}
	if stored, _ := e.View().Get(v1alpha1.KindCluster, "a"); strings.Contains(string(stored.Value), "onSilence") ||
		strings.Contains(string(stored.Value), "conditions") {
		t.Errorf("a plain cluster has what older servers refuse: %s", stored.Value)
	}
}

func TestASnapshotWithAnExpiryOfNobodyIsRefused(t *testing.T) {
	e := inClusters(t, Config{}, "a")
	e.must(e.liveness(true, "a"))
	e.state.expiries = e.state.expiries.with(expiries{"x": {Cluster: "x", Uid: string(e.uid()), Expired: true}})
	err := mustNew(Config{}).Restore(bytes.NewReader(save(e.FSM)))
	if !errors.Is(err, ErrSnapshot) || !strings.Contains(err.Error(), `liveness of cluster "x"`) {
		t.Error(err)
	}
	if at := time.UnixMilli(e.state.expiries["a"].GetSinceUnixMs()); at.Unix() != epoch {
		t.Errorf("expired at %s", at)
	}
}
