package server

import (
	"strings"
	"testing"

	"pentad.dev/pentad/federation/feed"
)

// contains says whether an answer has all of some endpoints, in whatever order of preference.
func contains(answer string, endpoints ...string) bool {
	got := map[string]bool{}
	for _, name := range strings.FieldsFunc(answer, func(r rune) bool { return r == ' ' || r == '/' }) {
		got[name] = true
	}
	for _, name := range endpoints {
		if !got[name] {
			return false
		}
	}
	return true
}

// TestWithoutAQuorumAnEndpointsChangeReachesEveryRelay: with three of five servers dead, the agent's home among them,
// and those of two of the three relays.
func TestWithoutAQuorumAnEndpointsChangeReachesEveryRelay(t *testing.T) {
	t.Parallel()
	s := newShop(t, 5, "s1", "s2", "s5")
	s.plants["s1"].settles("s1:1/s2:1/s5:1", patient)
	s.plants["s2"].settles("s2:1/s1:1/s5:1", patient)
	s.plants["s5"].settles("s5:1/s1:1 s2:1", patient)

	for _, dead := range []int{0, 1, 2} {
		s.stop(dead)
	}
	for _, i := range []int{3, 4} {
		eventually(t, "end of the leadership at "+s.configs[i].Name, patient, func() bool {
			leader, _, _ := s.servers[i].node.Leader()
			return leader == ""
		})
	}
	s.plants["s1"].runs(1, 2)
	s.plants["s1"].settles("s1:1 s1:2/s2:1/s5:1", patient)
	s.plants["s2"].settles("s2:1/s1:1 s1:2/s5:1", patient)
	s.plants["s5"].settles("s5:1/s1:1 s1:2 s2:1", patient)
	s.plants["s1"].runs(2)
	s.plants["s5"].settles("s5:1/s1:2 s2:1", patient)
	s.plants["s2"].settles("s2:1/s1:2/s5:1", patient)
}

// TestAfterAllServersAndRelaysDiedNothingIsShownTooLittle: they start from disk, marked as stale, while nobody else is
// there; then agents come, and what happened meanwhile arrives.
func TestAfterAllServersAndRelaysDiedNothingIsShownTooLittle(t *testing.T) {
	t.Parallel()
	s := newShop(t, 5, "s1", "s2", "s5")
	truth := []string{"s1:1", "s2:1", "s5:1"}
	s.plants["s1"].runs(1, 2)
	s.plants["s1"].settles("s1:1 s1:2/s2:1/s5:1", patient)
	s.plants["s2"].settles("s2:1/s1:1 s1:2/s5:1", patient)
	s.plants["s5"].settles("s5:1/s1:1 s1:2 s2:1", patient)
	for _, id := range []feed.ID{"s1-vm/static", "s2-vm/static", "s5-vm/static"} { // what they hold is what they will start from
		eventually(t, "same feed "+string(id)+" everywhere", patient, func() bool {
			held := map[feed.Position]bool{}
			for _, server := range s.servers {
				if log, ok := server.feeds.Get(id); ok {
					held[log.Position()] = true
				} else {
					held[feed.Position{}] = true
				}
			}
			return len(held) == 1 && !held[feed.Position{}]
		})
	}
	seen := map[string]int{}
	for name, p := range s.plants {
		_, seen[name] = p.since(0)
		p.stopAgent()
		p.stopRelay()
	}
	for i := range s.servers {
		s.stop(i)
	}
	s.plants["s1"].runs(1, 3) // while nobody looks: 2 has gone

	for _, p := range s.plants {
		p.startRelay()
	}
	for i := range s.servers {
		s.start(i)
		for _, id := range []feed.ID{"s1-vm/static", "s2-vm/static", "s5-vm/static"} {
			log, ok := s.servers[i].feeds.Get(id)
			if !ok || log.Len() == 0 || !log.Stale() {
				t.Errorf("server %s starts with feed %s: there %v, stale %v", s.configs[i].Name, id, ok, ok && log.Stale())
			}
		}
	}
	s.leader()
	for name, p := range s.plants { // from disk, before any agent is there
		eventually(t, "answer at "+name, patient, func() bool { _, n := p.since(0); return n > seen[name] })
	}
	for _, p := range s.plants {
		p.startAgent()
	}
	s.plants["s1"].settles("s1:1 s1:3/s2:1/s5:1", patient)
	s.plants["s2"].settles("s2:1/s1:1 s1:3/s5:1", patient)
	s.plants["s5"].settles("s5:1/s1:1 s1:3 s2:1", patient)
	for name, p := range s.plants {
		answers, _ := p.since(seen[name])
		for i, answer := range answers {
			if !contains(answer, truth...) {
				t.Errorf("%s: answer %d after the start has too little: %q", name, i, answer)
			}
		}
		t.Logf("%s was shown %q", name, answers)
	}
	for i := range s.servers {
		eventually(t, "fresh feeds at "+s.configs[i].Name, patient, func() bool {
			log, ok := s.servers[i].feeds.Get("s1-vm/static")
			return ok && !log.Stale()
		})
	}
}
