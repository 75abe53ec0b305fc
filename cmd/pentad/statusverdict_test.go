package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/server"
)

// seen is what server name says, of voters a to e.
func seen(name, state, leader string, change ...func(*server.Status)) page {
	s := &server.Status{Name: name, Cluster: "one", Raft: consensus.Status{State: state, Leader: leader, Term: 3, LastContact: time.Minute}}
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		s.Raft.Voters = append(s.Raft.Voters, consensus.Member{ID: id})
		if state == "leader" {
			s.Members = append(s.Members, server.Member{Name: id, Heard: time.Second})
		}
	}
	for _, f := range change {
		f(s)
	}
	return page{name: name, server: s}
}

// silent has the leader not hear of voters for a while; negative: as long as it leads.
func silent(d time.Duration, which ...int) func(*server.Status) {
	return func(s *server.Status) {
		for _, i := range which {
			s.Members[i].Heard = d
		}
	}
}

func TestStatusSaysFirstWhetherWritesGoOn(t *testing.T) {
	full := func(s *server.Status) { s.Raft.DiskFull = true }
	other := func(s *server.Status) { s.Cluster = "two" }
	for name, c := range map[string]struct {
		pages []page
		want  []string
	}{
		"all there": {
			[]page{seen("a", "leader", "a")}, []string{"server a leads; 5 of 5 voters are there, 3 are needed: writes go on, 2 more may be lost\n"},
		},
		"a region lost": {
			[]page{seen("a", "leader", "a", silent(time.Minute, 1), silent(-2*time.Second, 2)), {name: "b", err: errors.New("gone")}},
			[]string{"3 of 5", "NOT ONE more may be lost; missing: b (not heard of for 1m0s), c (not heard of for >2s)\n"},
		},
		"a full disk is no vote that counts": {
			[]page{seen("a", "leader", "a"), seen("b", "follower", "a", full)}, []string{"4 of 5", "1 more may be lost; missing: b (its disk is full)\n"},
		},
		"too few left for a leader that has not noticed": {
			[]page{seen("a", "leader", "a", silent(time.Minute, 1, 2, 3))}, []string{"NO WRITES: server a leads; 2 of 5 voters are there, 3 are needed: too few"},
		},
		"an old leader and a new one": {
			[]page{seen("a", "leader", "a"), seen("b", "leader", "b", func(s *server.Status) { s.Raft.Term = 4 })}, []string{"server b leads"},
		},
		"no leader": {
			[]page{seen("a", "candidate", ""), seen("b", "follower", "")},
			[]string{"NO WRITES: no leader is known to server a, b. 3 of the 5 voters (a, b, c, d, e) must be up", "nobody asked c, d, e", "1m0s ago"},
		},
		"the leader was not asked": {[]page{seen("a", "follower", "b")}, []string{"server b leads, as server a knows"}},
		"two lives": {
			[]page{seen("a", "leader", "a"), seen("b", "follower", "a"), seen("c", "candidate", "", other)},
			[]string{"cluster one (a, b): server a leads", "cluster two (c): NO WRITES", "not of one estate"},
		},
	} {
		var out strings.Builder
		writeVerdict(&out, c.pages)
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q lacks %q", name, out.String(), want)
			}
		}
	}
	var out strings.Builder
	if writeVerdict(&out, []page{{name: "a", err: errors.New("gone")}}); out.Len() > 0 {
		t.Errorf("of nobody: %q", out.String())
	}
}
