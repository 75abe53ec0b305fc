package oracle_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pentad.dev/pentad/dev/drill/oracle"
	"pentad.dev/pentad/dev/sample/record"
)

// at is a time of the histories in these tests, in seconds.
func at(seconds float64) oracle.Time {
	return oracle.Time(1_000_000 * 1e9).Add(time.Duration(seconds * 1e9))
}

// clean is a history in which every promise was kept: 60 s, two centers, one instance each that is drained at 20 s and back at
// 25 s in a; a's workload is killed at 40 s with two requests in flight and back at 45 s; a leader is killed at 30 s.
func clean() oracle.History {
	h := oracle.History{
		Finals: map[string]map[string]oracle.Object{"a": {"w": {Generation: 120}}, "b": {"w": {Generation: 120}}},
		Holders: []oracle.Holder{
			holder("server-a", "server", "a", "7.1"), holder("server-b", "server", "b", "7.1"),
			holder("relay-a-1", "relay", "a", "7.1"), holder("relay-b-1", "relay", "b", "7.1"),
		},
		Changes: []oracle.Change{
			{At: at(20), Step: "churn", What: "drained", Service: "s", Instance: "s-a", Arrivals: arrivals(20, 12, 15)},
			{At: at(25), Step: "churn", What: "resumed", Service: "s", Instance: "s-a", Arrivals: arrivals(25, 10, 30)},
		},
		Elections:    []oracle.Election{{Step: "leader", Old: "a", New: "b", Killed: at(30), Leader: at(30.9), Written: at(31)}},
		Expectations: []oracle.Expectation{{Step: "steady", What: "all traffic is local", Met: true}},
	}
	for _, c := range []string{"a", "b"} {
		h.Clients = append(h.Clients, oracle.ClientLife{Center: c, Services: []string{"s"}, Rate: 10, From: at(0), To: at(60)})
		h.Registrations = append(h.Registrations, registration(-5, c, true))
	}
	h.Registrations = append(h.Registrations, registration(20, "a", false), registration(25, "a", true))
	h.Lives = []oracle.Life{
		{Process: "sample-a", Role: "sample", Center: "a", Start: at(-6), Ready: at(-5.5), Signal: at(40), End: at(40.02), Killed: true},
		{Process: "sample-b", Role: "sample", Center: "b", Start: at(-6), Ready: at(-5.5)},
		{Process: "sample-a", Role: "sample", Center: "a", Start: at(45), Ready: at(45.5)},
		{Process: "agent-a", Role: "agent", Center: "a", Start: at(-6), Ready: at(-5.5)},
		{Process: "agent-b", Role: "agent", Center: "b", Start: at(-6), Ready: at(-5.5)},
		{Process: "server-a", Role: "server", Center: "a", Start: at(-6), Ready: at(-5.5), Signal: at(30), End: at(30.01), Killed: true},
		{Process: "server-a", Role: "server", Center: "a", Start: at(34), Ready: at(35)},
		{Process: "server-b", Role: "server", Center: "b", Start: at(-6), Ready: at(-5.5)},
		{Process: "server-c", Role: "server", Center: "c", Start: at(-6), Ready: at(-5.5)},
	}
	for i := range 600 {
		t := float64(i) / 10
		from := "a"
		if t >= 20.01 && t < 25.03 || t >= 40.02 && t < 45.6 {
			from = "b"
		}
		h.Requests = append(h.Requests, answer("a", t, from), answer("b", t, "b"))
	}
	h.Requests = append(h.Requests, broken("a", 39.999, 40.01), broken("a", 40.01, 40.019))
	for i := range 120 {
		h.Writes = append(h.Writes, written(float64(i)/2, int64(i+1)))
	}
	return h
}

func holder(process, role, center, position string) oracle.Holder {
	h := oracle.Holder{Process: process, Role: role, Center: center, Feeds: map[string]oracle.FeedState{
		"intent": {Position: position, Digest: "d0", Records: 3}, "a/static": {Position: position, Digest: "d1", Records: 2},
	}}
	if role == "server" {
		h.Feeds["a/reports"] = oracle.FeedState{Position: "1.1", Digest: "r", Records: 1}
	} else {
		h.Feeds[oracle.ResourcesFeed] = oracle.FeedState{Position: process, Digest: "x", Records: 9}
	}
	return h
}

func arrivals(from float64, delays ...float64) map[string]oracle.Time {
	m := map[string]oracle.Time{}
	for i, d := range delays {
		m[fmt.Sprint("relay-", i)] = at(from + d/1000)
	}
	return m
}

func address(center string) string { return "127.0.0.1:1" + fmt.Sprint(int(center[0])) }

func registration(t float64, center string, ready bool) oracle.Registration {
	return oracle.Registration{
		At: at(t), Service: "s", Center: center, Instance: "s-" + center, Address: address(center), Process: "sample-" + center, Agent: "agent-" + center, Ready: ready,
	}
}

func answer(client string, t float64, center string) record.Request {
	return record.Request{Client: client, Service: "s", Start: at(t), End: at(t + 0.001), Peer: address(center), Center: center, Instance: "s-" + center}
}

func broken(client string, from, to float64) record.Request {
	return record.Request{
		Client: client, Service: "s", Start: at(from), End: at(to), Peer: address("a"), Code: "Unavailable", Cause: record.CauseBroken,
	}
}

func written(t float64, generation int64) oracle.Write {
	return oracle.Write{Name: "w", Begin: at(t), End: at(t + 0.01), Acknowledged: true, Generation: generation}
}

func TestACleanHistoryPasses(t *testing.T) {
	v := oracle.Judge(clean(), oracle.DefaultBounds())
	for _, f := range v.Findings {
		if !f.Pass {
			t.Errorf("%s: %v", f.Rule, f.Examples)
		}
	}
	if !v.Pass || !v.Fast || len(v.Findings) != len(oracle.Rules()) {
		t.Errorf("pass %v with %d findings of %d rules", v.Pass, len(v.Findings), len(oracle.Rules()))
	}
	if v.Accounts.InFlight != 2 || v.Accounts.Failed() != 0 || v.Accounts.OK != 1200 {
		t.Errorf("accounts %+v", v.Accounts)
	}
}

// silence takes b's answers away for a while: the requests stay open, the first of them made so many seconds later.
func silence(h *oracle.History, from, to, later float64) {
	h.Requests = slices.DeleteFunc(h.Requests, func(r record.Request) bool {
		return r.Client == "b" && r.Start > at(from) && r.Start < at(from+later)
	})
	for i, r := range h.Requests {
		if r.Client == "b" && r.Start > at(from) && r.Start < at(to) {
			h.Requests[i] = record.Request{Client: "b", Service: "s", Start: r.Start, Open: true}
		}
	}
}

// Each plant breaks one promise; the rule that says so must find it, and no other.
var plants = []struct {
	name, rule string
	plant      func(*oracle.History)
	says       string
}{
	{"a request 1.2 s after a drain", oracle.RuleRemoved, func(h *oracle.History) { h.Requests = append(h.Requests, answer("b", 21.2, "a")) }, "1.20 s after it was removed"},
	{"a request 1.5 s after the agent came back", oracle.RuleRemoved, func(h *oracle.History) {
		h.Lives[3].Signal, h.Lives[3].End = at(19), at(19.01)
		h.Lives = append(h.Lives, oracle.Life{Process: "agent-a", Role: "agent", Start: at(21), Ready: at(22)})
		h.Requests = append(h.Requests, answer("b", 23.5, "a"))
	}, "1.50 s after it was removed"},
	{"a request to an address of nobody", oracle.RuleRemoved, func(h *oracle.History) {
		r := answer("b", 3, "b")
		r.Peer = "10.9.9.9:1"
		h.Requests = append(h.Requests, r)
	}, "never registered"},
	{"a request to another service's endpoint", oracle.RuleRemoved, func(h *oracle.History) {
		h.Registrations = append(h.Registrations, oracle.Registration{At: at(1), Service: "t", Instance: "t-a", Address: "10.1.1.1:1", Ready: true})
		r := answer("b", 3, "b")
		r.Peer = "10.1.1.1:1"
		h.Requests = append(h.Requests, r)
	}, "t-a of t"},
	{"a request before its endpoint was there", oracle.RuleRemoved, func(h *oracle.History) {
		h.Registrations = append(h.Registrations, oracle.Registration{At: at(9), Service: "s", Instance: "s-x", Address: "10.1.1.1:1", Ready: true})
		r := answer("b", 3, "b")
		r.Peer = "10.1.1.1:1"
		h.Requests = append(h.Requests, r)
	}, "never registered"},
	{"a client told of no endpoints", oracle.RuleStarved, func(h *oracle.History) {
		h.Requests = append(h.Requests, record.Request{
			Client: "b", Service: "s", Start: at(10), End: at(10), Code: "Unavailable", Cause: record.CauseNoEndpoints, Error: "no children to pick from",
		})
	}, "no children to pick from"},
	{"a client without an answer for 4 s", oracle.RuleStarved, func(h *oracle.History) {
		silence(h, 10, 14, 0)
	}, "no good answer"},
	{"a client that is never answered", oracle.RuleStarved, func(h *oracle.History) {
		h.Clients[0].Services = append(h.Clients[0].Services, "t")
		h.Clients[0].Rate = 5
		h.Registrations = append(h.Registrations, oracle.Registration{At: at(-5), Service: "t", Instance: "t-b", Address: "10.1.1.1:1", Process: "sample-b", Ready: true})
		h.Requests = append(h.Requests, record.Request{Client: "a", Service: "t", Start: at(1), Open: true})
	}, "from t for"},
	{"an acknowledged object that is gone", oracle.RuleLost, func(h *oracle.History) { delete(h.Finals["b"], "w") }, "not there on b"},
	{"an acknowledged write that one server does not show", oracle.RuleLost, func(h *oracle.History) { h.Finals["b"]["w"] = oracle.Object{Generation: 119} }, "on b it is at 119"},
	{"an acknowledged write lost in the middle", oracle.RuleLost, func(h *oracle.History) {
		for i := 60; i < 120; i++ {
			h.Writes[i].Generation--
		}
		h.Finals["a"]["w"], h.Finals["b"]["w"] = oracle.Object{Generation: 119}, oracle.Object{Generation: 119}
	}, "was acknowledged after"},
	{"a write that nobody made", oracle.RuleLost, func(h *oracle.History) { h.Finals["a"]["w"] = oracle.Object{Generation: 121} }, "0 writes have no answer"},
	{"a holder at another position", oracle.RuleUnequal, func(h *oracle.History) { h.Holders[2] = holder("relay-a-1", "relay", "a", "7.0") }, "relay-a-1"},
	{"a holder with the same position and other content", oracle.RuleUnequal, func(h *oracle.History) {
		h.Holders[1].Feeds["a/static"] = oracle.FeedState{Position: "7.1", Digest: "other", Records: 2}
	}, "digest other"},
	{"a holder that does not answer", oracle.RuleUnequal, func(h *oracle.History) { h.Holders[0].Error = "timeout" }, "server-a can't be compared: timeout"},
	{"a relay without a feed", oracle.RuleUnequal, func(h *oracle.History) { delete(h.Holders[3].Feeds, "a/static") }, "relay-b-1 does not hold a/static"},
	{"a server without a feed of reports", oracle.RuleUnequal, func(h *oracle.History) { delete(h.Holders[1].Feeds, "a/reports") }, "server-b does not hold a/reports"},
	{"two relays of a center that render differently", oracle.RuleUnequal, func(h *oracle.History) {
		other := holder("relay-a-2", "relay", "a", "7.1")
		other.Feeds[oracle.ResourcesFeed] = oracle.FeedState{Digest: "y", Records: 9}
		h.Holders = append(h.Holders, other)
	}, "resources of a"},
	{"errors with no death to excuse them", oracle.RuleErrors, func(h *oracle.History) {
		for i := range 3 {
			h.Requests = append(h.Requests, broken("a", 10+float64(i), 10.1+float64(i)))
		}
	}, record.CauseBroken},
	{"errors after a death was noticed long ago", oracle.RuleErrors, func(h *oracle.History) {
		for i := range 3 {
			h.Requests = append(h.Requests, broken("a", 40.5+float64(i), 40.6+float64(i)))
		}
	}, oracle.CauseDead},
	{"errors that ended before the kill", oracle.RuleErrors, func(h *oracle.History) {
		for i := range 3 {
			h.Requests = append(h.Requests, broken("a", 39.8, 39.9+float64(i)/100))
		}
	}, record.CauseBroken},
	{"errors at a process that stopped in order", oracle.RuleErrors, func(h *oracle.History) {
		h.Lives[0].Killed = false
	}, record.CauseBroken},
	{"a slow change", oracle.RuleSpread, func(h *oracle.History) { h.Changes[0].Arrivals["relay-1"] = at(20.15) }, "p99 is 150 ms"},
	{"a change that did not arrive", oracle.RuleReach, func(h *oracle.History) { h.Changes[1].Missing = []string{"relay-b-1"} }, "never reached [relay-b-1]"},
	{"a slow leader", oracle.RuleWrite, func(h *oracle.History) { h.Elections[0].Written = at(32.2) }, "2.20 s after a was killed"},
	{"no write after the leader's death", oracle.RuleWrite, func(h *oracle.History) { h.Elections[0].Written = 0 }, "no write was acknowledged"},
	{"a slow leader after a region's death", oracle.RuleRegion, func(h *oracle.History) {
		h.Elections = append(h.Elections, oracle.Election{Step: "region", Old: "b", Region: true, Killed: at(50), Leader: at(55), Written: at(55.5)})
	}, "5.50 s after b was killed"},
	{"a step that did not do what it is for", oracle.RuleSteps, func(h *oracle.History) { h.Expectations[0].Met = false }, "all traffic is local"},
	{"a client that was never heard of", oracle.RuleSeen, func(h *oracle.History) {
		h.Clients = append(h.Clients, oracle.ClientLife{Center: "c", Services: []string{"s"}, Rate: 1, From: at(1), To: at(60)})
	}, "client in c"},
	{"a client that made half of its requests", oracle.RuleSeen, func(h *oracle.History) { h.Clients[1].Rate = 20 }, "600 requests of 1200"},
	{"no expectations", oracle.RuleSeen, func(h *oracle.History) { h.Expectations = nil }, "no expectations"},
	{"no holders", oracle.RuleSeen, func(h *oracle.History) { h.Holders = nil }, "no holders"},
	{"no finals", oracle.RuleSeen, func(h *oracle.History) { h.Finals = nil }, "final objects"},
	{"no changes", oracle.RuleSeen, func(h *oracle.History) { h.Changes = nil }, "no endpoint changes"},
	{"no leader killed", oracle.RuleSeen, func(h *oracle.History) { h.Elections = nil }, "no leaders killed"},
}

func TestEachPlantedViolationIsFoundByItsRuleAlone(t *testing.T) {
	bounds := oracle.DefaultBounds()
	for _, p := range plants {
		t.Run(p.name, func(t *testing.T) {
			h := clean()
			p.plant(&h)
			v := oracle.Judge(h, bounds)
			if speed := slices.Contains([]string{oracle.RuleSpread, oracle.RuleWrite, oracle.RuleRegion}, p.rule); v.Pass != speed || v.Fast == speed {
				t.Errorf("pass %v, fast %v", v.Pass, v.Fast)
			}
			for _, f := range v.Findings {
				switch {
				case f.Rule != p.rule && !f.Pass:
					t.Errorf("%s fails too: %v", f.Rule, f.Examples)
				case f.Rule == p.rule && f.Pass:
					t.Error("its rule did not find it")
				case f.Rule == p.rule && !strings.Contains(strings.Join(f.Examples, "\n"), p.says):
					t.Errorf("examples %q do not say %q", f.Examples, p.says)
				}
			}
		})
	}
}

func TestEveryRuleHasAPlant(t *testing.T) {
	for _, rule := range oracle.Rules() {
		if !slices.ContainsFunc(plants, func(p struct {
			name, rule string
			plant      func(*oracle.History)
			says       string
		},
		) bool {
			return p.rule == rule
		}) {
			t.Errorf("no plant breaks %q", rule)
		}
	}
}

func TestAnEmptyHistoryFails(t *testing.T) {
	if oracle.Judge(oracle.History{}, oracle.DefaultBounds()).Pass {
		t.Error("a verdict about nothing is yes")
	}
}

func TestWhatIsExcused(t *testing.T) {
	for name, excused := range map[string]func(*oracle.History){
		"a request within the bound after a removal": func(h *oracle.History) { h.Requests = append(h.Requests, answer("b", 20.9, "a")) },
		"no endpoints where none existed": func(h *oracle.History) {
			h.Registrations = append(h.Registrations, registration(9.5, "a", false), registration(9.5, "b", false), registration(10.2, "a", true), registration(10.2, "b", true))
			h.Requests = append(h.Requests, record.Request{
				Client: "b", Service: "s", Start: at(10), End: at(10), Code: "Unavailable", Cause: record.CauseNoEndpoints,
			})
		},
		"a request to an endpoint whose removal no agent had read": func(h *oracle.History) {
			h.Lives[3].Signal, h.Lives[3].End = at(20.1), at(20.11)
			h.Lives = append(h.Lives, oracle.Life{Process: "agent-a", Role: "agent", Start: at(22), Ready: at(22.5)})
			h.Requests = append(h.Requests, answer("b", 23.4, "a"))
		},
		"no leader where there was no majority": func(h *oracle.History) {
			h.Lives[8].Signal, h.Lives[8].End = at(30.5), at(30.51)
			h.Elections[0].Written, h.Elections[0].Leader = 0, 0
		},
		"a client that did not ask for 4 s": func(h *oracle.History) { silence(h, 10, 14, 3) },
		"a slower leader after a region's death": func(h *oracle.History) {
			h.Elections = append(h.Elections, oracle.Election{Step: "region", Old: "b", Region: true, Killed: at(50), Leader: at(53), Written: at(53.5)})
		},
		"requests of a killed client": func(h *oracle.History) {
			h.Requests = append(h.Requests, record.Request{Client: "a", Service: "s", Start: at(10), Open: true})
		},
		"writes without an answer that took effect": func(h *oracle.History) {
			h.Writes = append(h.Writes, oracle.Write{Name: "w", Begin: at(60), End: at(60.5), Error: "timeout"})
			h.Finals["a"]["w"], h.Finals["b"]["w"] = oracle.Object{Generation: 121}, oracle.Object{Generation: 121}
		},
		"a change overtaken by the next": func(h *oracle.History) {
			h.Changes = append(h.Changes, oracle.Change{At: at(26), Superseded: true, Arrivals: arrivals(26, 900)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := clean()
			excused(&h)
			if v := oracle.Judge(h, oracle.DefaultBounds()); !v.Pass {
				for _, f := range v.Findings {
					if !f.Pass {
						t.Errorf("%s: %v", f.Rule, f.Examples)
					}
				}
			}
		})
	}
}

// The order in which things were written down must not matter.
func TestTheVerdictDoesNotHangOnTheOrderOfEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := clean()
		planted := rapid.SampledFrom(plants).Draw(t, "plant")
		planted.plant(&h)
		want := oracle.Judge(h, oracle.DefaultBounds())
		h.Requests = rapid.Permutation(h.Requests).Draw(t, "requests")
		h.Registrations = rapid.Permutation(h.Registrations).Draw(t, "registrations")
		got := oracle.Judge(h, oracle.DefaultBounds())
		for i, f := range got.Findings {
			if f.Pass != want.Findings[i].Pass || f.Violations != want.Findings[i].Violations {
				t.Fatalf("%s: %d violations, in order %d", f.Rule, f.Violations, want.Findings[i].Violations)
			}
		}
	})
}

func TestPercentileIsTheNearestRank(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	for share, want := range map[float64]time.Duration{0.5: 50, 0.99: 99, 1: 100, 0: 1} {
		if got := oracle.Percentile(hundred, share); got != want {
			t.Errorf("p%g of 1..100 is %d, want %d", share*100, got, want)
		}
	}
	if got := oracle.Percentile(nil, 0.99); got != 0 {
		t.Errorf("of nothing: %d", got)
	}
}
