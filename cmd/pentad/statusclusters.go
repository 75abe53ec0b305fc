package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"pentad.dev/pentad/federation/server"
)

// heardLately is how old a sign of life may be to say that a server hears a cluster.
const heardLately = 5 * time.Second

// clusterLine is a cluster as all servers that answered hear of it.
type clusterLine struct {
	hear, servers int
	youngest      time.Duration
	heard         bool
	expired       bool
}

// writeClusters is how many of the servers hear of each cluster, and whether it has expired, as any of them knows.
func writeClusters(out io.Writer, pages []page) {
	clusters := map[string]*clusterLine{}
	for _, p := range pages {
		if p.server == nil || p.err != nil {
			continue
		}
		for _, c := range p.server.Clusters {
			line := clusters[c.Name]
			if line == nil {
				line = &clusterLine{}
				clusters[c.Name] = line
			}
			line.servers++
			line.expired = line.expired || c.Expired
			if !c.Heard {
				continue
			}
			if c.Age <= heardLately {
				line.hear++
			}
			if !line.heard || c.Age < line.youngest {
				line.heard, line.youngest = true, c.Age
			}
		}
	}
	if len(clusters) == 0 {
		return
	}
	fmt.Fprintln(out, "\nCLUSTER\tLIVENESS\tHEARD BY\tLAST HEARD")
	for _, name := range slices.Sorted(maps.Keys(clusters)) {
		line := clusters[name]
		liveness, last := "silent", "never"
		switch {
		case line.expired:
			liveness = "expired"
		case line.hear > 0:
			liveness = "live"
		}
		if line.heard {
			last = line.youngest.Round(100*time.Millisecond).String() + " ago"
		}
		fmt.Fprintf(out, "%s\t%s\t%d/%d\t%s\n", name, liveness, line.hear, line.servers, last)
	}
}

// writeHeld says why clusters are not withdrawn that could be: as the leader finds, else as the first that knows.
func writeHeld(out io.Writer, pages []page) {
	var knows *server.Status
	for _, p := range pages {
		if p.server != nil && p.err == nil && p.server.Held != nil && (knows == nil || p.server.Raft.State == "leader") {
			knows = p.server
		}
	}
	if knows != nil {
		fmt.Fprintf(out, "\nwithdrawals are held back (%s), as server %s says:\n  - %s\n", knows.Held.Reason, knows.Name, knows.Held.Message)
	}
}
