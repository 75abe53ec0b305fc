package consensus

import (
	"errors"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the node's numbers. Without a registerer they are counted and never shown.
type metrics struct {
	to         prometheus.Registerer
	registered []prometheus.Collector
	proposals  *prometheus.CounterVec
	commit     prometheus.Histogram
	reads      *prometheus.HistogramVec
	syncs      prometheus.Histogram
}

func newMetrics(n *Node, to prometheus.Registerer) (*metrics, error) {
	// From 50 µs, a fast disk or a read on loopback, to 13 s.
	buckets := prometheus.ExponentialBuckets(0.00005, 2, 19)
	m := &metrics{
		to: to,
		proposals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pentad_raft_proposals_total", Help: "Proposals made at this node by outcome."}, []string{"outcome"}),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pentad_raft_commit_seconds",
			Help: "From a proposal to its result at the leader.", Buckets: buckets}),
		reads: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "pentad_raft_read_index_seconds",
			Help: "Duration of linearizable read confirmations at the leader by outcome.", Buckets: buckets},
			[]string{"outcome"}),
		syncs: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pentad_raft_fsync_seconds",
			Help: "Duration of each fsync of the log, the vote and snapshots.", Buckets: buckets}),
	}
	gauge := func(name, help string, value func(*raft.Raft) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			if r := n.raft.Load(); r != nil {
				return value(r)
			}
			return 0
		})
	}
	all := []prometheus.Collector{m.proposals, m.commit, m.reads, m.syncs,
		gauge("pentad_raft_term", "Current term.", func(r *raft.Raft) float64 { return float64(r.CurrentTerm()) }),
		gauge("pentad_raft_state", "0 follower, 1 candidate, 2 leader, 3 stopped.",
			func(r *raft.Raft) float64 { return float64(r.State()) }),
		gauge("pentad_raft_commit_index", "Highest index known to be committed.",
			func(r *raft.Raft) float64 { return float64(r.CommitIndex()) }),
		gauge("pentad_raft_applied_index", "Index of the last command that the state machine applied.",
			func(*raft.Raft) float64 { return float64(n.machine.done.value()) }),
	}
	if to == nil {
		return m, nil
	}
	for _, c := range all {
		if err := to.Register(c); err != nil {
			m.unregister()
			return nil, err
		}
		m.registered = append(m.registered, c)
	}
	return m, nil
}

func (m *metrics) unregister() {
	for _, c := range m.registered {
		m.to.Unregister(c)
	}
	m.registered = nil
}

func (m *metrics) synced(d time.Duration) { m.syncs.Observe(d.Seconds()) }

// proposed counts a proposal that ends now.
func (m *metrics) proposed(start time.Time, err *error) {
	m.proposals.WithLabelValues(outcome(*err)).Inc()
	if *err == nil {
		m.commit.Observe(time.Since(start).Seconds())
	}
}

// read counts a linearizable read that ends now.
func (m *metrics) read(start time.Time, err *error) {
	m.reads.WithLabelValues(outcome(*err)).Observe(time.Since(start).Seconds())
}

func outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, ErrNotLeader):
		return "not_leader"
	case errors.Is(err, ErrNoQuorum):
		return "no_quorum"
	case errors.Is(err, ErrOutcomeUnknown):
		return "unknown"
	case errors.Is(err, ErrDiskFull):
		return "disk_full"
	}
	return "error"
}
