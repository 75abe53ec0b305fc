package server

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/crds/v1alpha1"
	"pentad.dev/pentad/unitization/switchover"
)

// TestAllServersAreLostAndTheEstateIsRebuilt: after the backup an object was declared, one was changed, a unit moved with
// its store and one without. Relays, guards, agents, stores, watches and writers live through the loss.
func TestAllServersAreLostAndTheEstateIsRebuilt(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 5, unitsOptions{ledgers: true})
	cache := &mirror{api: u.client()}
	u.runs("cache", cache.run)
	w := u.write()
	w.flows(0, "rz01.hz-a")
	w.flows(9, "rz02.sh-a")
	file := u.backup(3)
	create(t, u.api.Centers(), center("bj-a", "beijing"))
	stale := change(t, u.api.Centers(), "hz-a", func(c *v1alpha1.Center) { c.Labels = map[string]string{"changed": "since"} })
	u.begin("with-store", moveTo(v1alpha1.SwitchoverPlanned, "sh-a"))
	u.begin("without", v1alpha1.SwitchoverSpec{Mode: v1alpha1.SwitchoverPlanned, Moves: []v1alpha1.Move{{
		Unitization: "users", Unit: "rz02", ToCenters: []string{"hz-a"},
	}}})
	u.reaches("with-store", switchover.PhaseDone, patient)
	u.reaches("without", switchover.PhaseDone, patient)
	w.flows(0, "rz01.sh-a")
	w.flows(9, "rz02.hz-a")
	eventually(t, "cache of everything", patient, func() bool { return cache.has(t, u.api) })
	before := u.highest()
	revision := u.servers[0].machine.Revision()

	lost := time.Now()
	for i := range u.servers {
		u.lose(i)
	}
	life := u.restore(0, file, u.permit)
	rebuilt := time.Now()
	if life.Revision <= revision {
		t.Errorf("revision %d after %d", life.Revision, revision)
	}
	eventually(t, "epoch of the new life", patient, func() bool { return u.highest() > before })
	u.joins(u.api, 1, 2, 3, 4)
	joined := time.Now()

	// The map follows the store, whose primary was not the backup's; what has no store waits for a person. Permits of the
	// former life may hold still.
	eventually(t, "write under an epoch of the new life", patient, func() bool {
		return sinceOf(w.all(), 0, "rz01.sh-a", rebuilt) > before
	})
	writes := time.Now()
	if at := cellsOf(u, "rz01"); !slices.Equal(at, []string{"rz01.sh-a"}) || u.state().Stores["db"].Primary != "sh-a" {
		t.Errorf("rz01 is in %v, its primary in %s", at, u.state().Stores["db"].Primary)
	}
	eventually(t, "question for rz02", patient, func() bool {
		said := u.waitsFor()
		return len(said) == 1 && strings.Contains(said[0], "5 to 9 (unit rz02, cells rz02.sh-a) refuse writes")
	})
	u.begin("by-hand", v1alpha1.SwitchoverSpec{Mode: v1alpha1.SwitchoverDisaster, Moves: []v1alpha1.Move{{
		Unitization: "users", Unit: "rz02", ToCenters: []string{"hz-a"},
	}}})
	w.flows(9, "rz02.hz-a")
	eventually(t, "end of the reconciliation", patient, func() bool { return len(u.waitsFor()) == 0 })

	// API clients of before see the new life as it is.
	eventually(t, "cache of the new life", patient, func() bool { return cache.has(t, u.api) })
	cache.mu.Lock()
	if cache.gone == 0 || cache.emptied > 0 || cache.centers["bj-a"] != "" {
		t.Errorf("the cache was told %d times to list again, was empty %d times, and holds %v", cache.gone, cache.emptied, cache.centers)
	}
	cache.mu.Unlock()
	if _, err := u.api.Centers().Update(t.Context(), stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("a write on what was lost: %v, want a conflict", err)
	}
	u.begin("back", moveTo(v1alpha1.SwitchoverPlanned, "hz-a"))
	u.reaches("back", switchover.PhaseDone, patient)
	w.flows(0, "rz01.hz-a")
	w.stop()
	if err := apart(w.all(), false); err != nil {
		t.Error(err)
	}
	w.kept(t, "hz-a")
	t.Logf("backup %d bytes; one server %s after the loss, five voters after %s, the first write of a unit with a store after %s",
		len(file), rebuilt.Sub(lost).Round(time.Millisecond), joined.Sub(lost).Round(time.Millisecond),
		writes.Sub(lost).Round(time.Millisecond))
}

// TestTheMajorityIsLostForGood: a survivor goes on with what it holds; another survivor, whose log is of the old life, is
// refused until its disk is emptied.
func TestTheMajorityIsLostForGood(t *testing.T) {
	t.Parallel()
	u := newUnits(t, 5, unitsOptions{ledgers: true})
	w := u.write()
	w.flows(0, "rz01.hz-a")
	create(t, u.api.Centers(), center("bj-a", "beijing"))
	at := u.servers[u.leader()].machine.Revision()
	for _, i := range []int{0, 1} {
		eventually(t, "all at "+u.configs[i].Name, patient, func() bool { return u.servers[i].machine.Revision() >= at })
	}
	before := u.highest()
	for _, i := range []int{2, 3, 4} {
		u.lose(i)
	}
	u.stop(0)
	recovery, err := OpenRecovery(Restoration{Config: u.configs[0], LongestPermit: u.permit})
	check(t, err)
	if said := strings.Join(MayBeLost(recovery.Tail), " "); !strings.Contains(said, "The folder of server s1 holds the intent up to entry") {
		t.Error(said)
	}
	done, err := recovery.Recover()
	recovery.Close()
	check(t, err)
	u.start(0)
	u.joins(u.api, 2, 3)
	if _, err := u.api.Centers().Get(t.Context(), "bj-a", metav1.GetOptions{}); err != nil {
		t.Errorf("what was acknowledged, and the survivor held: %v", err)
	}
	restarted := time.Now()
	eventually(t, "write under an epoch of the new life", patient, func() bool {
		return sinceOf(w.all(), 0, "rz01.hz-a", restarted) > before
	})
	eventually(t, "end of the other survivor's leadership", patient, func() bool { return !u.servers[1].node.IsLeader() })
	if cluster := u.servers[1].node.Folder().Cluster; cluster == done.Cluster {
		t.Errorf("the other survivor is in cluster %s", cluster)
	}
	u.lose(1)
	u.joinsLater(1)
	eventually(t, "state at the other survivor", patient, func() bool {
		return u.servers[1].node.Folder().Cluster == done.Cluster && u.servers[1].machine.Incarnation() == done.Incarnation
	})
	w.stop()
	if err := errors.Join(apart(w.all(), false)); err != nil {
		t.Error(err)
	}
	w.kept(t, "hz-a")
}

// joinsLater is joins of one more.
func (u *units) joinsLater(i int) {
	u.t.Helper()
	members, err := u.api.Members(u.t.Context())
	check(u.t, err)
	u.token(u.api, i)
	u.start(i)
	eventually(u.t, "member "+u.configs[i].Name, patient, func() bool {
		now, err := u.api.Members(u.t.Context())
		return err == nil && len(now.Members) > len(members.Members)
	})
}

// TestRelaysOfBeforeAreNeverShownTooLittle: the servers have lost the feeds as well; agents publish them again.
func TestRelaysOfBeforeAreNeverShownTooLittle(t *testing.T) {
	t.Parallel()
	s := newShop(t, 3, "s1", "s2", "s3")
	truth := []string{"s1:1", "s2:1", "s3:1"}
	for _, p := range s.plants {
		eventually(t, "endpoints at "+p.center, patient, func() bool { return contains(p.shows(), truth...) })
	}
	file := s.backup(1)
	seen := map[string]int{}
	for name, p := range s.plants {
		_, seen[name] = p.since(0)
	}
	for i := range s.servers {
		s.lose(i)
	}
	s.restore(2, file, time.Second)
	s.joins(s.api, 0, 1)
	s.plants["s1"].runs(1, 2)
	for name, p := range s.plants {
		eventually(t, "new endpoint at "+name, patient, func() bool { return contains(p.shows(), append(truth, "s1:2")...) })
		answers, _ := p.since(seen[name])
		for i, answer := range answers {
			if !contains(answer, truth...) {
				t.Errorf("%s: answer %d after the loss has too little: %q", name, i, answer)
			}
		}
	}
}

// TestABackupHasWhatWasAcknowledged at any server, and there is none when nobody can tell what was.
func TestABackupHasWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	e := newEstate(t, 3)
	leader := e.leader()
	for n := range 4 {
		for i := range e.servers {
			name := fmt.Sprintf("c%d-%d", n, i)
			create(t, e.api((leader+n)%3, patient).Centers(), center(name, "hangzhou"))
			f, h, err := readBackup(bytes.NewReader(e.backup(i)))
			check(t, err)
			if _, ok := f.View().Get(v1alpha1.KindCenter, name); !ok || h.Server != e.configs[i].Name ||
				h.Cluster != e.servers[i].node.Folder().Cluster {
				t.Errorf("%s at %s: there %t, %v", name, e.configs[i].Name, ok, h)
			}
		}
	}
	for i := range e.servers {
		if i != leader {
			e.stop(i)
		}
	}
	var file bytes.Buffer
	if err := e.api(leader, 20*time.Second).Backup(t.Context(), &file); err == nil || file.Len() > 0 {
		t.Errorf("without a quorum: %v, and %d bytes", err, file.Len())
	}
}
