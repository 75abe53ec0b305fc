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
	batches    prometheus.Histogram
	waits      prometheus.Histogram
	applies    prometheus.Histogram
	stored     storedTimes
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
		batches: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pentad_raft_batch_entries",
			Help: "Entries of the log that were written, and are synced, at once.", Buckets: prometheus.ExponentialBuckets(1, 2, 11)}),
		waits: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pentad_raft_commit_delay_seconds",
			Help:    "From when a command was written to the log here to when it began to be applied here, its commit being known.",
			Buckets: buckets}),
		applies: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pentad_raft_apply_seconds",
			Help: "Duration of applying one command to the state machine.", Buckets: prometheus.ExponentialBuckets(0.000005, 2, 19)}),
	}
	gauge := func(name, help string, value func(*raft.Raft) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			if r := n.raft.Load(); r != nil {
				return value(r)
			}
			return 0
		})
	}
	all := []prometheus.Collector{m.proposals, m.commit, m.reads, m.syncs, m.batches, m.waits, m.applies,
		gauge("pentad_raft_term", "Current term.", func(r *raft.Raft) float64 { return float64(r.CurrentTerm()) }),
		gauge("pentad_raft_state", "0 follower, 1 candidate, 2 leader, 3 stopped.",
			func(r *raft.Raft) float64 { return float64(r.State()) }),
		gauge("pentad_raft_commit_index", "Highest index known to be committed.",
			func(r *raft.Raft) float64 { return float64(r.CommitIndex()) }),
		gauge("pentad_raft_applied_index", "Index of the last command that the state machine applied.",
			func(*raft.Raft) float64 { return float64(n.machine.done.value()) }),
		gauge("pentad_raft_refused_peers", "Members that this node reaches and does not talk to: one of the two refuses the other.",
			func(*raft.Raft) float64 { return float64(len(n.refusals.list())) }),
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

// wrote counts a batch of entries that was written now.
func (m *metrics) wrote(entries []*raft.Log) {
	m.batches.Observe(float64(len(entries)))
	m.stored.note(entries)
}

// applying counts a command that begins to be applied, the returned function that it was.
func (m *metrics) applying(index uint64) (applied func()) {
	now := time.Now()
	if at, known := m.stored.at(index); known {
		m.waits.Observe(now.Sub(at).Seconds())
	}
	return func() { m.applies.Observe(time.Since(now).Seconds()) }
}

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
