package main

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/server"
)

func TestStatusNamesServersThatRefuseEachOther(t *testing.T) {
	refused := func(peer, reason string) func(*server.Status) {
		return func(s *server.Status) {
			s.Raft.Refused = append(s.Raft.Refused, consensus.Refusal{Peer: peer, Reason: reason, For: 90*time.Second + time.Millisecond})
		}
	}
	for name, c := range map[string]struct {
		pages []page
		want  string
	}{
		"nobody":             {[]page{seen("a", "leader", "a")}, ""},
		"who did not answer": {[]page{{name: "a", err: errors.New("gone")}}, ""},
		"an old disk, as all say": {
			[]page{
				seen("a", "leader", "a", refused("b", "peer is refused: its disk was replaced")),
				seen("b", "candidate", "", refused("a", "peer is refused: it says: its disk was replaced"), refused("c", "another reason")),
			},
			"\nservers that refuse each other, until somebody mends it:\n" +
				"  - another reason (b and c, for 1m30s)\n  - its disk was replaced (a and b, for 1m30s)\n",
		},
	} {
		var out bytes.Buffer
		if writeRefused(&out, c.pages); out.String() != c.want {
			t.Errorf("%s: %q, want %q", name, out.String(), c.want)
		}
	}
}
