package consensus

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
)

// The old disk of a server that was replaced says of itself that the others refuse it, and why, and so does the leader of
// it; it gets no vote asked for, and all is forgotten when the new disk is back.
func TestAReplacedDiskSaysWhyItIsRefused(t *testing.T) {
	registries := map[string]*prometheus.Registry{}
	c := newCluster(t, 3, func(i int, cfg *Config) {
		registries[cfg.ID] = prometheus.NewPedanticRegistry()
		cfg.Metrics = registries[cfg.ID]
	})
	c.put("k", "1")
	m := c.others(c.leader())[0]
	old := m.fs
	c.anew(m)
	renewed := m.fs
	c.put("k", "2")
	c.stop(m)
	m.fs = old
	var asked atomic.Int64
	c.links.set(func(from, _ string, req any, answer bool) error {
		switch req.(type) {
		case *raft.RequestPreVoteRequest, *raft.RequestVoteRequest:
			if from == m.id && answer {
				asked.Add(1)
			}
		}
		return nil
	})
	c.start(m)
	refused := func(at, peer *member) *Refusal {
		for _, r := range at.node.Status().Refused {
			if r.Peer == peer.id {
				return &r
			}
		}
		return nil
	}
	says := func(at, peer *member) {
		t.Helper()
		var r *Refusal
		eventually(t, fmt.Sprintf("%s says that it and %s do not talk", at.id, peer.id), func() bool {
			r = refused(at, peer)
			return r != nil
		})
		for _, word := range []string{m.id, "its disk was replaced", "empty its data folder and join again"} {
			if !strings.Contains(r.Reason, word) {
				t.Errorf("%s of %s: %+v: want %q", at.id, peer.id, r, word)
			}
		}
		if v := gaugeOf(t, registries[at.id], "pentad_raft_refused_peers"); v < 1 {
			t.Errorf("%s: pentad_raft_refused_peers is %v", at.id, v)
		}
	}
	for _, x := range c.others(m) {
		says(m, x)
	}
	c.put("k", "3", m)
	eventually(t, "the leader says so", func() bool { return refused(c.leader(m), m) != nil })
	says(c.leader(m), m)
	if n := asked.Load(); n > 0 {
		t.Errorf("it was answered %d times when it asked for votes", n)
	}
	c.stop(m)
	m.fs = renewed
	c.start(m)
	_, index := c.put("k", "4")
	if err := m.node.WaitApplied(timeout(t, 60*time.Second), index); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the leader talks to it again", func() bool { return refused(c.leader(), m) == nil })
}

// gaugeOf returns a gauge's value.
func gaugeOf(t *testing.T, from *prometheus.Registry, name string) float64 {
	t.Helper()
	found, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func TestRefusalsAreForgotten(t *testing.T) {
	var r refusals
	refuse := fmt.Errorf("%w: it says: no", ErrPeer)
	r.called("n2", refuse)
	r.called("n3", refuse)
	r.called("n4", fmt.Errorf("connection refused"))
	if all := r.list(); len(all) != 2 || all[0].Peer != "n2" || all[1].Reason != refuse.Error() {
		t.Errorf("%+v", all)
	}
	r.called("n2", fmt.Errorf("connection refused")) // says nothing of what it thinks
	r.called("n3", nil)
	if all := r.list(); len(all) != 1 || all[0].Peer != "n2" {
		t.Errorf("%+v", all)
	}
	since := time.Now().Add(-time.Hour)
	r.now["n2"] = refusal{reason: "no", since: since, last: time.Now()}
	if all := r.list(); len(all) != 1 || all[0].For < time.Hour {
		t.Errorf("%+v", all)
	}
	r.now["n2"] = refusal{reason: "no", since: since, last: time.Now().Add(-2 * refusedFor)}
	r.called("n2", refuse)
	if all := r.list(); len(all) != 1 || all[0].For > time.Minute {
		t.Errorf("it is another one: %+v", all)
	}
	r.now["n2"] = refusal{reason: "no", since: since, last: time.Now().Add(-2 * refusedFor)}
	if all := r.list(); len(all) != 0 || len(r.now) != 0 {
		t.Errorf("%+v", all)
	}
}
