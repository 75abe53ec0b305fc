package server

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// thereWithin is how lately a leader must have heard of a voter that the numbers count as there: some heartbeats.
const thereWithin = 2 * time.Second

// silentAfter is how old the youngest sign of life of a cluster's agent is that the numbers count as silent.
const silentAfter = 5 * time.Second

// numbers are what alerts on a server need. They are read from its status when they are asked for.
type numbers struct {
	status func() Status
	// leaderless is for how long the server has known of no leader, backedUp when it last sent a whole backup.
	leaderless func() time.Duration
	backedUp   *atomic.Int64
	// expires is when its certificates end, by the field of the configuration.
	expires map[string]func() time.Time
}

func number(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("pentad_"+name, help, labels, nil)
}

// Names are part of what operators rely on: docs/operations.md lists those that alerts are made of.
var (
	gaugeHasLeader  = number("server_has_leader", "1 while the server knows of a leader.")
	gaugeLeaderless = number("server_leaderless_seconds", "For how long the server has known of no leader; 0 while it does.")
	gaugeEnrolled   = number("server_enrolled", "1 when the server belongs to a cluster; 0 while it waits for others.")
	gaugeDiskFull   = number("server_disk_full", "1 while entries are refused for want of room on the disk.")
	gaugeVotersAll  = number("server_voters", "Voters of Raft's configuration.")
	gaugeVotersHere = number("server_voters_heard", "Voters that the leader heard of lately, itself included; only at the leader.")
	gaugeBehind     = number("server_behind_entries", "Entries of the log that a server lacks; only at the leader.", "server")
	gaugeFeedsAll   = number("server_feeds", "Feeds that the server holds.")
	gaugeFeedsStale = number("server_feeds_stale", "Feeds whose copy may be old: read from disk, and nobody has confirmed it since.")
	gaugeFeedsAge   = number("server_feeds_oldest_seconds", "The longest that a feed's writer was not heard of, of those once heard.")
	gaugeClusters   = number("server_clusters", "Declared clusters by liveness, as this server hears.", "liveness")
	gaugeHeldBack   = number("server_withdrawals_held", "1 while withdrawals of expired clusters are held back.")
	gaugeReconciles = number("server_reconciling", "What a restored estate still waits for, in items; 0 when it is done.")
	gaugeBackup     = number("server_backup_timestamp_seconds", "When this process last sent a whole backup, unix time; 0: never.")
	gaugeExpiry     = number("server_certificate_expiry_timestamp_seconds", "When a certificate ends, unix time.", "certificate")
)

// Describe implements prometheus.Collector.
func (n *numbers) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		gaugeHasLeader, gaugeLeaderless, gaugeEnrolled, gaugeDiskFull, gaugeVotersAll, gaugeVotersHere, gaugeBehind, gaugeFeedsAll,
		gaugeFeedsStale, gaugeFeedsAge, gaugeClusters, gaugeHeldBack, gaugeReconciles, gaugeBackup, gaugeExpiry,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (n *numbers) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	s := n.status()
	gauge(gaugeHasLeader, bit(s.Raft.Leader != ""))
	gauge(gaugeLeaderless, n.leaderless().Seconds())
	gauge(gaugeEnrolled, bit(s.Waits == ""))
	gauge(gaugeDiskFull, bit(s.Raft.DiskFull))
	gauge(gaugeVotersAll, float64(len(s.Raft.Voters)))
	if s.Raft.State == "leader" && len(s.Members) > 0 {
		here := 0
		for _, m := range s.Members {
			gauge(gaugeBehind, float64(m.Behind), m.Name)
			if m.Role == "voter" && m.Heard >= 0 && m.Heard <= thereWithin {
				here++
			}
		}
		gauge(gaugeVotersHere, float64(here))
	}
	stale, oldest := 0, 0.0
	for _, f := range s.Feeds {
		if f.Stale {
			stale++
		}
		if f.AgeSeconds != nil {
			oldest = max(oldest, *f.AgeSeconds)
		}
	}
	gauge(gaugeFeedsAll, float64(len(s.Feeds)))
	gauge(gaugeFeedsStale, float64(stale))
	gauge(gaugeFeedsAge, oldest)
	by := map[string]int{"live": 0, "silent": 0, "expired": 0}
	for _, c := range s.Clusters {
		by[c.liveness()]++
	}
	for liveness, count := range by {
		gauge(gaugeClusters, float64(count), liveness)
	}
	gauge(gaugeHeldBack, bit(s.Held != nil))
	gauge(gaugeReconciles, float64(len(s.Reconciling)))
	gauge(gaugeBackup, float64(n.backedUp.Load()))
	for field, at := range n.expires {
		gauge(gaugeExpiry, float64(at().Unix()), field)
	}
}

// liveness is what this server hears of a cluster, in a word.
func (c ClusterStatus) liveness() string {
	switch {
	case c.Expired:
		return "expired"
	case c.Heard && c.Age <= silentAfter:
		return "live"
	}
	return "silent"
}

func bit(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
