//go:build linux && e2e

package e2e

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pentad.dev/pentad/e2e-multicluster/estate"
	"pentad.dev/pentad/e2e-multicluster/history"
	"pentad.dev/pentad/federation/server"
)

// oneWay is the way between two regions, and locally the election timeout for servers without one.
const (
	oneWay  = 15 * time.Millisecond
	locally = 350 * time.Millisecond
)

// probing is between two new writes of a region's client: what is measured is that exact.
const probing = 50 * time.Millisecond

// probes is how many writes of all clients may be on their way.
const probes = 96

// It measures for how long nobody can write after the leader was killed, from the kill to the first acknowledgement of a
// write that began after it, with and without a distance between the regions.
func TestKilledLeaders(t *testing.T) {
	text := cmp.Or(os.Getenv(killsVariable), "1") // one shows that it is measured; figures need some: make e2e KILLS=50
	kills, err := strconv.Atoi(text)
	if err != nil || kills < 1 {
		t.Fatalf("%s=%q is no number of leaders to kill", killsVariable, text)
	}
	var table strings.Builder
	fmt.Fprintf(&table, "\nwrite-unavailable time after the leader is killed, %d kills each\n", kills)
	fmt.Fprintf(&table, "%-34s %10s %8s %8s %8s   %s\n", "", "elections", "p50", "p99", "max", "aim for p99")
	for _, c := range []struct {
		name     string
		way      time.Duration
		election time.Duration
		aim      time.Duration
	}{
		{"in one place", 0, locally, 1500 * time.Millisecond},
		{fmt.Sprintf("%s one way between regions", oneWay), oneWay, server.DefaultElectionTimeout, 3 * time.Second},
		{fmt.Sprintf("%s one way between regions", 2*oneWay), 2 * oneWay, server.DefaultElectionTimeout, 3 * time.Second},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			first, every := killLeaders(t, kills, c.way, c.election)
			verdict := "held"
			if at(first, 99) > c.aim {
				verdict = "MISSED"
			}
			fmt.Fprintf(&table, "%-34s %10s %8s %8s %8s   %s: %s\n", c.name, c.election,
				round(at(first, 50)), round(at(first, 99)), round(at(first, 100)), c.aim, verdict)
			fmt.Fprintf(&table, "%-34s %10s %8s %8s %8s\n", "  until a client of each region can", "",
				round(at(every, 50)), round(at(every, 99)), round(at(every, 100)))
		})
	}
	t.Log(table.String())
}

// killLeaders returns, sorted, how long after each kill the first client could write, and how long until one of every
// region could.
func killLeaders(t *testing.T, kills int, way, election time.Duration) (first, every []time.Duration) {
	s := open(t, func(cfg *estate.Config) { cfg.ElectionTimeout = election })
	s.must(s.Net.Delay(way))
	s.up()
	s.keys = nil
	for i := range probes {
		s.keys = append(s.keys, fmt.Sprint("probe-", i))
	}
	s.load(func(cfg *history.Config) {
		cfg.Workers, cfg.Probe, cfg.Timeout = 1, probing, 30*time.Second
	})
	regions := len(regionsOf(s.Expected()))
	for i := range kills {
		s.written("before a kill")
		leader := s.leader()
		from, before := len(s.clients.Ops()), history.Now()
		leader.Kill()
		seen := map[int]int64{}
		for len(seen) < regions {
			op, err := s.clients.Wait(s.within(), from, func(op history.Op) bool {
				_, there := seen[op.Client]
				return !there && op.Outcome == history.Done && op.Call >= before
			})
			s.must(err)
			seen[op.Client] = op.Return - before
		}
		soonest, latest := time.Duration(1<<62), time.Duration(0)
		for _, took := range seen {
			soonest, latest = min(soonest, time.Duration(took)), max(latest, time.Duration(took))
		}
		first, every = append(first, soonest), append(every, latest)
		s.say("kill %d of %d: %s, a write after %s, from every region after %s", i+1, kills, leader.Name, round(soonest), round(latest))
		s.must(leader.Start())
		s.settled()
	}
	s.faults = kills
	s.ordered()
	slices.Sort(first)
	slices.Sort(every)
	return first, every
}

func regionsOf(servers []*estate.Server) map[string]bool {
	regions := map[string]bool{}
	for _, s := range servers {
		regions[s.Region] = true
	}
	return regions
}

// at is the smallest of the sorted times that so many percent are not above.
func at(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*percent+99)/100-1)]
}

func round(d time.Duration) string { return d.Round(10 * time.Millisecond).String() }
