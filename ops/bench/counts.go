package main

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Counts are what a log node has done since its start.
type Counts struct {
	Proposals, Reads, Syncs uint64
	// SyncSeconds and CommitSeconds are sums.
	SyncSeconds, CommitSeconds float64
	Applied                    uint64
}

func (c Counts) minus(before Counts) Counts {
	c.Proposals -= before.Proposals
	c.Reads -= before.Reads
	c.Syncs -= before.Syncs
	c.SyncSeconds -= before.SyncSeconds
	c.CommitSeconds -= before.CommitSeconds
	return c
}

// newCounts returns where consensus registers its numbers, and what reads them.
func newCounts() (prometheus.Registerer, func() (Counts, error)) {
	registry := prometheus.NewRegistry()
	return registry, func() (c Counts, err error) {
		families, err := registry.Gather()
		if err != nil {
			return c, fmt.Errorf("numbers: %w", err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				h := m.GetHistogram()
				switch f.GetName() {
				case "pentad_raft_commit_seconds":
					c.Proposals += h.GetSampleCount()
					c.CommitSeconds += h.GetSampleSum()
				case "pentad_raft_read_index_seconds":
					c.Reads += h.GetSampleCount()
				case "pentad_raft_fsync_seconds":
					c.Syncs += h.GetSampleCount()
					c.SyncSeconds += h.GetSampleSum()
				}
			}
		}
		return c, nil
	}
}
