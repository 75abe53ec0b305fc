package intent

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/federation/model"
)

func TestLivenessIsWhatWasDecidedLast(t *testing.T) {
	for seed := range uint64(8) {
		if err := decides(seed, Config{}); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// decides runs random decisions about clusters that come and go against a plain map of what should be, on one replica
// that sees all of them, and on one that is rebuilt from snapshots.
func decides(seed uint64, config Config) error {
	random := rand.New(rand.NewPCG(seed, 3))
	e := inClusters(&testing.T{}, config, "a", "b")
	twin := newEstate(&testing.T{}, config)
	names := []string{"a", "b", "c", "d", "e"}
	want := map[string]bool{}
	stopped, most := false, 100
	for range 150 {
		name := names[random.IntN(len(names))]
		_, there := e.View().Get(v1alpha1.KindCluster, name)
		var c *intentpb.Command
		ok := true
		after := func() {}
		switch random.IntN(8) {
		case 0, 1:
			if there {
				c, after = e.remove(v1alpha1.KindCluster, name), func() { delete(want, name) }
			} else {
				c = e.creation(v1alpha1.KindCluster, name, toJSON(e.fresh(cluster(name, "hz-a"), e.View().Lookup())))
			}
		case 2:
			stopped, most = random.IntN(3) == 0, []int{100, 60}[random.IntN(2)]
			c = e.edit(v1alpha1.KindEstate, v1alpha1.EstateName, func(o v1alpha1.Object) {
				w := &o.(*v1alpha1.Estate).Spec.Withdrawals
				w.Stopped, w.MaxPercent = stopped, new(int32(most))
			})
		case 3, 4:
			c, after = e.liveness(false, name), func() { delete(want, name) }
			ok = there
		default:
			c, after = e.liveness(true, name), func() { want[name] = true }
			anew, clusters := !want[name], 0
			for range e.View().Lookup().Clusters() {
				clusters++
			}
			ok = there && (!anew || !stopped && len(want)+1 <= clusters*most/100)
		}
		if random.IntN(4) == 0 {
			if err := twin.Restore(bytes.NewReader(save(e.FSM))); err != nil {
				return err
			}
			twin.index = e.index
		}
		r := e.do(c)
		if r.OK != ok {
			return fmt.Errorf("%v: ok is %v, want %v: %+v", c, r.OK, ok, r)
		}
		if ok {
			after()
		}
		if twin.index == e.index-1 {
			if twin.do(c); !bytes.Equal(save(twin.FSM), save(e.FSM)) {
				return fmt.Errorf("%v: replicas differ", c)
			}
			if err := twin.tells(want); err != nil {
				return fmt.Errorf("the one from a snapshot: %w", err)
			}
		}
		if err := e.tells(want); err != nil {
			return fmt.Errorf("%v: %w", c, err)
		}
	}
	return nil
}

// tells compares what is shown with what should be.
func (e *estate) tells(want map[string]bool) error {
	var feed []string
	for record := range e.Feed().All() {
		if record.Kind == model.KindLiveness {
			feed = append(feed, record.Key)
		}
	}
	slices.Sort(feed)
	if names := slices.Sorted(maps.Keys(want)); !slices.Equal(feed, names) {
		return fmt.Errorf("the feed has %q, want %q", feed, names)
	}
	for c := range e.View().Lookup().Clusters() {
		expired := e.shown(c.Name) == metav1.ConditionTrue
		if expired != want[c.Name] || e.View().Expired(c.Name) != want[c.Name] {
			return fmt.Errorf("cluster %s: status %v, view %v, want %v", c.Name, expired, e.View().Expired(c.Name), want[c.Name])
		}
	}
	return nil
}

func TestBrokenRulesOfLivenessAreFound(t *testing.T) {
	for name, rule := range map[string]breakage{
		"switch ignored": brokenWithdrawalsSwitch, "bound ignored": brokenWithdrawalsBound,
		"survives deletion and creation": brokenExpiryStays, "not in the snapshot": brokenExpiryNotSaved,
	} {
		err := someSeed(func(seed uint64) error { return decides(seed, Config{broken: rule}) })
		if err == nil {
			t.Errorf("%s: not found", name)
		}
		t.Logf("%s: %.150v", name, err)
	}
}
