package main

import (
	"fmt"
	"io"
	"time"
)

// writeRefused names servers that reach each other and do not talk: nothing heals that but an operator, and one whose disk
// was replaced would stand for election for ever.
func writeRefused(out io.Writer, all []page) {
	titled := false
	for _, p := range all {
		if p.server == nil || p.err != nil {
			continue
		}
		for _, r := range p.server.Raft.Refused {
			if !titled {
				fmt.Fprintln(out, "\nrefused, until somebody mends it:")
				titled = true
			}
			fmt.Fprintf(out, "  - between server %s and server %s, for %s: %s\n", p.server.Name, r.Peer, r.For.Round(time.Second), r.Reason)
		}
	}
}
