package v1alpha1

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func keeps(keepFor string) *Cluster {
	c := cluster("vm", "hz-a")
	c.Spec.OnSilence = &OnSilence{KeepFor: keepFor}
	return c
}

func TestKeepForIsADurationOfSomeLengthOrNever(t *testing.T) {
	for _, right := range []string{"", "never", "10s", "90m", "24h", "1h30m"} {
		expect(t, ValidateCluster(keeps(right)))
	}
	for _, wrong := range []string{"9.9s", "0", "-1h", "1d", "forever", "Never", "24"} {
		expect(t, ValidateCluster(keeps(wrong)), mistake{"spec.onSilence.keepFor", wrong, "at least 10s"})
	}
	for keepFor, want := range map[string]time.Duration{"": DefaultKeepFor, "90m": 90 * time.Minute, "never": 0} {
		if got, ok := keeps(keepFor).Spec.KeepFor(); got != want || ok != (keepFor != "never") {
			t.Errorf("keepFor %q: %s, %v", keepFor, got, ok)
		}
	}
	if got, ok := cluster("vm", "hz-a").Spec.KeepFor(); got != DefaultKeepFor || !ok {
		t.Errorf("a cluster that says nothing is kept for %s, %v", got, ok)
	}
}

func TestTheEstateIsOneAndItsBoundsAreSane(t *testing.T) {
	estate := func(name string, edit ...func(*Withdrawals)) *Estate {
		e := &Estate{ObjectMeta: metav1.ObjectMeta{Name: name}}
		for _, edit := range edit {
			edit(&e.Spec.Withdrawals)
		}
		Default(e)
		return e
	}
	clusters := func(n int32) func(*Withdrawals) { return func(w *Withdrawals) { w.MaxClusters = &n } }
	percent := func(n int32) func(*Withdrawals) { return func(w *Withdrawals) { w.MaxPercent = &n } }
	for _, right := range []*Estate{estate("estate"), estate("estate", clusters(1), percent(100)), estate("estate", percent(1))} {
		expect(t, ValidateEstate(right))
	}
	expect(t, ValidateEstate(estate("mine")), mistake{"metadata.name", "mine", `must be "estate"`})
	expect(t, ValidateEstate(estate("estate", clusters(0), percent(101))),
		mistake{"spec.withdrawals.maxClusters", int32(0), "set stopped"},
		mistake{"spec.withdrawals.maxPercent", int32(101), "1 to 100"})

	for _, c := range []struct {
		w        Withdrawals
		of, most int
	}{
		{Withdrawals{}, 1, 0}, {Withdrawals{}, 2, 1}, {Withdrawals{}, 5, 2}, {estate("estate", percent(100)).Spec.Withdrawals, 5, 5},
		{estate("estate", clusters(1)).Spec.Withdrawals, 10, 1}, {estate("estate", clusters(9)).Spec.Withdrawals, 10, 5},
		{estate("estate", percent(10)).Spec.Withdrawals, 9, 0},
	} {
		if got, why := c.w.Bound(c.of); got != c.most || why == "" {
			t.Errorf("%+v of %d clusters: %d may be withdrawn at once (%s), want %d", c.w, c.of, got, why, c.most)
		}
	}
}

func TestAnExpiryShowsInTheStatusAndNobodyElseWritesIt(t *testing.T) {
	at := time.Date(2026, 5, 4, 3, 2, 1, 999, time.UTC)
	d := estate()
	d.expired = map[string]Expiry{"vm": {Expired: true, Since: at}, "back": {Since: at}}
	for name, want := range map[string]metav1.ConditionStatus{"vm": metav1.ConditionTrue, "back": metav1.ConditionFalse} {
		c := cluster(name, "hz-a")
		DeriveStatus(c, d)
		expect(t, ValidateStatus(c, d))
		if got := c.Status.Conditions; len(got) != 1 || got[0].Type != ConditionExpired || got[0].Status != want ||
			!got[0].LastTransitionTime.Equal(&metav1.Time{Time: at.Truncate(time.Second)}) {
			t.Errorf("%s: %+v", name, got)
		}
		c.Status.Conditions = nil
		if errs := ValidateStatus(c, d); len(errs) != 1 || errs[0].Field != "status.conditions" {
			t.Errorf("%s without its condition: %v", name, errs)
		}
	}
	other := cluster("other", "hz-a")
	if DeriveStatus(other, d); other.Status.Conditions != nil {
		t.Errorf("a cluster of which nothing was decided has %+v", other.Status.Conditions)
	}
}
