package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// counts are the numbers of one log node.
func (s *system) counts(ctx context.Context, server int) (c Counts, err error) {
	answer, err := s.pools[server].invoke(ctx, 0, logCounts, nil)
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(answer, &c)
}

func seconds(sum float64, n uint64) time.Duration {
	return time.Duration(sum / float64(max(1, n)) * float64(time.Second))
}

func mean(sum float64, n uint64) string { return short(seconds(sum, n)) }

func average(all []time.Duration) (sum time.Duration) {
	for _, d := range all {
		sum += d
	}
	return sum / time.Duration(max(1, len(all)))
}

// profileOf is the file that a log node writes its profile to.
func profileOf(c *child) string { return strings.TrimSuffix(c.log, ".log") + ".pprof" }

func copyFile(to, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}
