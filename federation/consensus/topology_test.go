package consensus

import (
	"testing"
	"time"
)

// center is where a member stands.
type center struct{ region, name string }

// The topologies that people grow through. In each of them any one center may be lost; in the last one, any region.
var (
	twoCentersAndAnArbiter  = []center{{"a", "a1"}, {"a", "a2"}, {"a", "arbiter"}}
	twoRegionsThreeCenters  = []center{{"a", "a1"}, {"a", "a2"}, {"b", "b1"}}
	threeRegionsFiveCenters = []center{{"a", "a1"}, {"a", "a2"}, {"b", "b1"}, {"b", "b2"}, {"c", "c1"}}
)

// estate is a cluster whose members stand in centers.
type estate struct {
	*cluster
	wan *wan
	in  map[string]*member // by center
}

// newEstate starts a cluster of the centers in the first topology; the others' members wait to be added.
func newEstate(t *testing.T, first []center, later ...center) *estate {
	t.Helper()
	e := &estate{wan: newWAN(), in: map[string]*member{}}
	all := append(append([]center(nil), first...), later...)
	e.cluster = newClusterOf(t, len(all), len(first), func(i int, cfg *Config) {
		cfg.HeartbeatTimeout = 0 // the default is for such networks
		cfg.SnapshotThreshold, cfg.TrailingLogs, cfg.SnapshotInterval = 200, 50, 100*time.Millisecond
		e.wan.place(cfg.Listener.Addr().String(), all[i].region)
		cfg.Dial = e.wan.dialer(cfg.Listener.Addr().String())
	})
	for i, m := range e.members {
		e.in[all[i].name] = m
	}
	e.leader()
	return e
}

// lose stops the members of centers, lets writes go on without them, and starts them again.
func (e *estate) lose(w *writers, centers ...string) {
	e.t.Helper()
	var lost []*member
	for _, name := range centers {
		lost = append(lost, e.in[name])
		e.stop(e.in[name])
	}
	began := time.Now()
	w.progress(1)
	e.t.Logf("without %v the first write came after %v", centers, time.Since(began).Round(time.Millisecond))
	w.progress(10)
	for _, m := range lost {
		e.start(m)
	}
	// All are there again before the next loss.
	_, index := e.put("back", "1")
	for _, m := range lost {
		if err := m.node.WaitApplied(timeout(e.t, time.Minute), index); err != nil {
			e.t.Fatal(err)
		}
	}
}

func TestTwoCentersAndAnArbiter(t *testing.T) {
	e := newEstate(t, twoCentersAndAnArbiter)
	w := startWriters(e.cluster, 2)
	for _, c := range twoCentersAndAnArbiter {
		e.lose(w, c.name)
	}
	w.stop()
	w.check(e.in["a1"])
}

func TestTwoRegionsThreeCenters(t *testing.T) {
	e := newEstate(t, twoRegionsThreeCenters)
	w := startWriters(e.cluster, 2)
	for _, c := range twoRegionsThreeCenters {
		e.lose(w, c.name)
	}
	w.stop()
	w.check(e.in["b1"])
}

func TestThreeRegionsFiveCenters(t *testing.T) {
	e := newEstate(t, threeRegionsFiveCenters)
	w := startWriters(e.cluster, 2)
	e.lose(w, "a1", "a2")
	e.lose(w, "b1", "b2")
	e.lose(w, "c1")
	e.lose(w, "a1", "c1") // two centers of two regions
	w.stop()
	w.check(e.in["c1"])
}

// One estate grows through all topologies and back while clients write. Nothing acknowledged is lost, nothing is applied
// twice, and writes never stop for longer than an election.
func TestGrowingFromOneTopologyToTheNext(t *testing.T) {
	e := newEstate(t, twoCentersAndAnArbiter, center{"b", "b1"}, center{"b", "b2"}, center{"c", "c1"})
	w := startWriters(e.cluster, 3)
	join := func(names ...string) {
		for _, name := range names {
			e.add(e.in[name])
			e.promote(e.in[name])
			w.progress(10)
		}
	}
	leave := func(names ...string) {
		for _, name := range names {
			e.remove(e.in[name])
			w.progress(10)
		}
	}
	voters := func(want int) {
		t.Helper()
		if got := len(e.leader().node.Status().Voters); got != want {
			t.Errorf("%d voters, want %d", got, want)
		}
	}
	w.progress(10)
	join("b1")
	leave("arbiter")
	voters(3)
	e.lose(w, "a1")
	join("b2", "c1")
	voters(5)
	e.lose(w, "a1", "a2")
	leave("c1", "b2")
	voters(3)
	e.lose(w, "b1")
	w.stop()
	w.check(e.in["a2"])
}
