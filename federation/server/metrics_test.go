package server

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/feed"
)

// TestNumbersSayWhatTheStatusSays: of a leader that hears two of three voters, and of a server that waits for others.
func TestNumbersSayWhatTheStatusSays(t *testing.T) {
	age := 7.0
	at := time.Unix(2_000_000_000, 0)
	n := &numbers{
		leaderless: func() time.Duration { return 0 }, backedUp: &atomic.Int64{},
		expires: map[string]func() time.Time{"certificates": func() time.Time { return at }},
	}
	n.backedUp.Store(99)
	n.status = func() Status {
		return Status{
			Raft: consensus.Status{State: "leader", Leader: "a", DiskFull: true, Voters: make([]consensus.Member, 3)},
			Members: []Member{
				{Name: "a", Role: "voter"}, {Name: "b", Role: "voter", Heard: time.Second}, {Name: "c", Role: "voter", Heard: -1, Behind: 5},
				{Name: "d", Role: "replica"},
			},
			Feeds: map[feed.ID]feed.Report{"one": {Stale: true}, "two": {AgeSeconds: &age}},
			Clusters: []ClusterStatus{
				{Heard: true, Age: time.Second}, {Heard: true, Age: time.Minute}, {}, {Heard: true, Age: time.Hour, Expired: true},
			},
			Held: &Held{}, Reconciling: []string{"a store", "a unit"},
		}
	}
	expect(t, n, map[string]float64{
		"pentad_server_has_leader": 1, "pentad_server_leaderless_seconds": 0, "pentad_server_enrolled": 1, "pentad_server_disk_full": 1,
		"pentad_server_voters": 3, "pentad_server_voters_heard": 2, "pentad_server_behind_entries c": 5, "pentad_server_feeds": 2,
		"pentad_server_feeds_stale": 1, "pentad_server_feeds_oldest_seconds": 7, "pentad_server_clusters live": 1,
		"pentad_server_clusters silent": 2, "pentad_server_clusters expired": 1, "pentad_server_withdrawals_held": 1,
		"pentad_server_reconciling": 2, "pentad_server_backup_timestamp_seconds": 99,
		"pentad_server_certificate_expiry_timestamp_seconds certificates": 2_000_000_000,
	})
	n.status = func() Status { return Status{Waits: "others", Raft: consensus.Status{State: "follower"}} }
	n.leaderless = func() time.Duration { return time.Minute }
	expect(t, n, map[string]float64{
		"pentad_server_has_leader": 0, "pentad_server_leaderless_seconds": 60, "pentad_server_enrolled": 0, "pentad_server_disk_full": 0,
		"pentad_server_withdrawals_held": 0,
	})
}

// expect gathers, which also holds the collector to what it describes.
func expect(t *testing.T, n *numbers, want map[string]float64) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(n)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetGauge().GetValue()
		}
	}
	for name, value := range want {
		if have, ok := got[name]; !ok || have != value {
			t.Errorf("%s is %v (there: %t), want %v", name, have, ok, value)
		}
	}
}
