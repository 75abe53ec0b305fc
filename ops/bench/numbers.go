package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// counts are the numbers of one node.
func (s *system) counts(ctx context.Context, server int) (c Counts, err error) {
	if len(s.admins) > 0 {
		return scrape(ctx, s.admins[server])
	}
	answer, err := s.pools[server].invoke(ctx, 0, logCounts, nil)
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(answer, &c)
}

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
