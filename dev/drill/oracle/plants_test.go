package oracle_test

import (
	"slices"

	"pentad.dev/pentad/dev/drill/oracle"
	"pentad.dev/pentad/dev/sample/record"
)

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
	{
		"a request 1.2 s after a drain",
		oracle.RuleRemoved,
		func(h *oracle.History) { h.Requests = append(h.Requests, answer("b", 21.2, "a")) },
		"1.20 s after it was removed",
	},
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
		h.Registrations = append(
			h.Registrations,
			oracle.Registration{At: at(1), Service: "t", Instance: "t-a", Address: "10.1.1.1:1", Ready: true},
		)
		r := answer("b", 3, "b")
		r.Peer = "10.1.1.1:1"
		h.Requests = append(h.Requests, r)
	}, "t-a of t"},
	{"a request before its endpoint was there", oracle.RuleRemoved, func(h *oracle.History) {
		h.Registrations = append(
			h.Registrations,
			oracle.Registration{At: at(9), Service: "s", Instance: "s-x", Address: "10.1.1.1:1", Ready: true},
		)
		r := answer("b", 3, "b")
		r.Peer = "10.1.1.1:1"
		h.Requests = append(h.Requests, r)
	}, "never registered"},
	{"a client told of no endpoints", oracle.RuleStarved, func(h *oracle.History) {
		h.Requests = append(h.Requests, record.Request{
			Client: "b", Service: "s", Start: at(10), End: at(10), Code: "Unavailable", Cause: record.CauseNoEndpoints,
			Error: "no children to pick from",
		})
	}, "no children to pick from"},
	{"a client without an answer for 4 s", oracle.RuleStarved, func(h *oracle.History) {
		silence(h, 10, 14, 0)
	}, "no good answer"},
	{"a client that is never answered", oracle.RuleStarved, func(h *oracle.History) {
		h.Clients[0].Services = append(h.Clients[0].Services, "t")
		h.Clients[0].Rate = 5
		h.Registrations = append(
			h.Registrations,
			oracle.Registration{
				At:       at(-5),
				Service:  "t",
				Instance: "t-b",
				Address:  "10.1.1.1:1",
				Process:  "sample-b",
				Ready:    true,
			},
		)
		h.Requests = append(h.Requests, record.Request{Client: "a", Service: "t", Start: at(1), Open: true})
	}, "from t for"},
	{
		"an acknowledged object that is gone",
		oracle.RuleLost,
		func(h *oracle.History) { delete(h.Finals["b"], "w") },
		"not there on b",
	},
	{
		"an acknowledged write that one server does not show",
		oracle.RuleLost,
		func(h *oracle.History) { h.Finals["b"]["w"] = oracle.Object{Generation: 119} },
		"on b it is at 119",
	},
	{"an acknowledged write lost in the middle", oracle.RuleLost, func(h *oracle.History) {
		for i := 60; i < 120; i++ {
			h.Writes[i].Generation--
		}
		h.Finals["a"]["w"], h.Finals["b"]["w"] = oracle.Object{Generation: 119}, oracle.Object{Generation: 119}
	}, "was acknowledged after"},
	{
		"a write that nobody made",
		oracle.RuleLost,
		func(h *oracle.History) { h.Finals["a"]["w"] = oracle.Object{Generation: 121} },
		"0 writes have no answer",
	},
	{
		"a holder at another position",
		oracle.RuleUnequal,
		func(h *oracle.History) { h.Holders[2] = holder("relay-a-1", "relay", "a", "7.0") },
		"relay-a-1",
	},
	{"a holder with the same position and other content", oracle.RuleUnequal, func(h *oracle.History) {
		h.Holders[1].Feeds["a/static"] = oracle.FeedState{Position: "7.1", Digest: "other", Records: 2}
	}, "digest other"},
	{
		"a holder that does not answer",
		oracle.RuleUnequal,
		func(h *oracle.History) { h.Holders[0].Error = "timeout" },
		"server-a can't be compared: timeout",
	},
	{
		"a relay without a feed",
		oracle.RuleUnequal,
		func(h *oracle.History) { delete(h.Holders[3].Feeds, "a/static") },
		"relay-b-1 does not hold a/static",
	},
	{
		"a server without a feed of reports",
		oracle.RuleUnequal,
		func(h *oracle.History) { delete(h.Holders[1].Feeds, "a/reports") },
		"server-b does not hold a/reports",
	},
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
	{
		"a slow change",
		oracle.RuleSpread,
		func(h *oracle.History) { h.Changes[0].Arrivals["relay-1"] = at(20.15) },
		"p99 is 150 ms",
	},
	{
		"a change that did not arrive",
		oracle.RuleReach,
		func(h *oracle.History) { h.Changes[1].Missing = []string{"relay-b-1"} },
		"never reached [relay-b-1]",
	},
	{
		"a slow leader",
		oracle.RuleWrite,
		func(h *oracle.History) { h.Elections[0].Written = at(32.2) },
		"2.20 s after a was killed",
	},
	{
		"no write after the leader's death",
		oracle.RuleWrite,
		func(h *oracle.History) { h.Elections[0].Written = 0 },
		"no write was acknowledged",
	},
	{"a slow leader after a region's death", oracle.RuleRegion, func(h *oracle.History) {
		h.Elections = append(
			h.Elections,
			oracle.Election{Step: "region", Old: "b", Region: true, Killed: at(50), Leader: at(55), Written: at(55.5)},
		)
	}, "5.50 s after b was killed"},
	{
		"a step that did not do what it is for",
		oracle.RuleSteps,
		func(h *oracle.History) { h.Expectations[0].Met = false },
		"all traffic is local",
	},
	{"a client that was never heard of", oracle.RuleSeen, func(h *oracle.History) {
		h.Clients = append(
			h.Clients,
			oracle.ClientLife{Center: "c", Services: []string{"s"}, Rate: 1, From: at(1), To: at(60)},
		)
	}, "client in c"},
	{
		"a client that made half of its requests",
		oracle.RuleSeen,
		func(h *oracle.History) { h.Clients[1].Rate = 20 },
		"600 requests of 1200",
	},
	{"no expectations", oracle.RuleSeen, func(h *oracle.History) { h.Expectations = nil }, "no expectations"},
	{"no holders", oracle.RuleSeen, func(h *oracle.History) { h.Holders = nil }, "no holders"},
	{"no finals", oracle.RuleSeen, func(h *oracle.History) { h.Finals = nil }, "final objects"},
	{"no changes", oracle.RuleSeen, func(h *oracle.History) { h.Changes = nil }, "no endpoint changes"},
	{"no leader killed", oracle.RuleSeen, func(h *oracle.History) { h.Elections = nil }, "no leaders killed"},
}
