package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"pentad.dev/pentad/federation/consensus"
)

// writeRefused names servers that reach each other and do not talk: nothing heals that but an operator, and one whose disk
// was replaced would stand for election for ever.
func writeRefused(out io.Writer, all []page) {
	pairs, lasts := map[string]map[string]bool{}, map[string]time.Duration{} // by reason
	for _, p := range all {
		if p.server == nil || p.err != nil {
			continue
		}
		for _, r := range p.server.Raft.Refused {
			reason := reasonOf(r)
			if pairs[reason] == nil {
				pairs[reason] = map[string]bool{}
			}
			pairs[reason][min(p.server.Name, r.Peer)+" and "+max(p.server.Name, r.Peer)] = true
			lasts[reason] = max(lasts[reason], r.For)
		}
	}
	if len(pairs) == 0 {
		return
	}
	fmt.Fprintln(out, "\nservers that refuse each other, until somebody mends it:")
	for _, reason := range slices.Sorted(maps.Keys(pairs)) {
		fmt.Fprintf(out, "  - %s (%s, for %s)\n", reason, strings.Join(slices.Sorted(maps.Keys(pairs[reason])), ", "), lasts[reason].Round(time.Second))
	}
}

// reasonOf is the same at both ends.
func reasonOf(r consensus.Refusal) string {
	return strings.TrimPrefix(strings.TrimPrefix(r.Reason, consensus.ErrPeer.Error()+": "), "it says: ")
}
