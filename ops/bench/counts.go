package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Counts are what consensus at one node has done since its start.
type Counts struct {
	Proposals, Reads, Syncs, Batches, Waits, Applies tally
	// Applied is the index of the last command; a log node's only.
	Applied uint64
}

// tally is a count of things and the sum of what they took, in seconds, or of what they had.
type tally struct {
	N   uint64
	Sum float64
}

// tallies has where each metric goes.
func (c *Counts) tallies() map[string]*tally {
	return map[string]*tally{
		"pentad_raft_commit_seconds":       &c.Proposals,
		"pentad_raft_read_index_seconds":   &c.Reads,
		"pentad_raft_fsync_seconds":        &c.Syncs,
		"pentad_raft_batch_entries":        &c.Batches,
		"pentad_raft_commit_delay_seconds": &c.Waits,
		"pentad_raft_apply_seconds":        &c.Applies,
	}
}

// add adds times the other's numbers: 1, or -1 for the difference.
func (c *Counts) add(other Counts, times int) {
	of := other.tallies()
	for name, t := range c.tallies() {
		t.N += uint64(times) * of[name].N
		t.Sum += float64(times) * of[name].Sum
	}
}

func (t tally) mean() float64 { return t.Sum / float64(max(1, t.N)) }

// newCounts returns where consensus registers its numbers, and what reads them.
func newCounts() (prometheus.Registerer, func() (Counts, error)) {
	registry := prometheus.NewRegistry()
	return registry, func() (c Counts, err error) {
		families, err := registry.Gather()
		if err != nil {
			return c, fmt.Errorf("numbers: %w", err)
		}
		all := c.tallies()
		for _, f := range families {
			t := all[f.GetName()]
			if t == nil {
				continue
			}
			for _, m := range f.GetMetric() {
				t.N += m.GetHistogram().GetSampleCount()
				t.Sum += m.GetHistogram().GetSampleSum()
			}
		}
		return c, nil
	}
}

// scrape reads a server's numbers from its admin page.
func scrape(ctx context.Context, address string) (c Counts, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return c, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return c, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return c, err
	}
	all := c.tallies()
	for line := range bytes.Lines(text) { // name{labels} value
		name, value, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		name, _, _ = strings.Cut(name, "{")
		if t := all[strings.TrimSuffix(name, "_count")]; t != nil {
			n, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				return c, fmt.Errorf("%s: %s: %w", address, name, err)
			}
			t.N += n
		} else if t := all[strings.TrimSuffix(name, "_sum")]; t != nil {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return c, fmt.Errorf("%s: %s: %w", address, name, err)
			}
			t.Sum += n
		}
	}
	return c, nil
}
