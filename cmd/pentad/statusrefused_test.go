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
	refused := func(s *server.Status) {
		s.Raft.Refused = []consensus.Refusal{{Peer: "b", Reason: "its disk was replaced", For: 90*time.Second + time.Millisecond}}
	}
	for name, c := range map[string]struct {
		pages []page
		want  string
	}{
		"nobody":             {[]page{seen("a", "leader", "a")}, ""},
		"who did not answer": {[]page{{name: "a", err: errors.New("gone")}}, ""},
		"an old disk": {
			[]page{seen("a", "leader", "a", refused), seen("c", "follower", "a")},
			"\nrefused, until somebody mends it:\n  - between server a and server b, for 1m30s: its disk was replaced\n",
		},
	} {
		var out bytes.Buffer
		if writeRefused(&out, c.pages); out.String() != c.want {
			t.Errorf("%s: %q, want %q", name, out.String(), c.want)
		}
	}
}
