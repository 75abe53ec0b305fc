package oracle_test

import (
	"fmt"
	"time"

	"pentad.dev/pentad/dev/drill/oracle"
	"pentad.dev/pentad/dev/sample/record"
)

// at is a time of the histories in these tests, in seconds.
func at(seconds float64) oracle.Time {
	return oracle.Time(1_000_000 * 1e9).Add(time.Duration(seconds * 1e9))
}

// clean is a history in which every promise was kept: 60 s, two centers, one instance each that is drained at 20 s and
// back at 25 s in a; a's workload is killed at 40 s with two requests in flight and back at 45 s; a leader is killed at
// 30 s.
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
		Elections: []oracle.Election{
			{Step: "leader", Old: "a", New: "b", Killed: at(30), Leader: at(30.9), Written: at(31)},
		},
		Expectations: []oracle.Expectation{{Step: "steady", What: "all traffic is local", Met: true}},
		Units:        units(),
	}
	for _, c := range []string{"a", "b"} {
		h.Clients = append(
			h.Clients,
			oracle.ClientLife{Center: c, Services: []string{"s"}, Rate: 10, From: at(0), To: at(60)},
		)
		h.Registrations = append(h.Registrations, registration(-5, c, true))
	}
	h.Registrations = append(h.Registrations, registration(20, "a", false), registration(25, "a", true))
	h.Lives = []oracle.Life{
		{
			Process: "sample-a",
			Role:    "sample",
			Center:  "a",
			Start:   at(-6),
			Ready:   at(-5.5),
			Signal:  at(40),
			End:     at(40.02),
			Killed:  true,
		},
		{Process: "sample-b", Role: "sample", Center: "b", Start: at(-6), Ready: at(-5.5)},
		{Process: "sample-a", Role: "sample", Center: "a", Start: at(45), Ready: at(45.5)},
		{Process: "agent-a", Role: "agent", Center: "a", Start: at(-6), Ready: at(-5.5)},
		{Process: "agent-b", Role: "agent", Center: "b", Start: at(-6), Ready: at(-5.5)},
		{
			Process: "server-a",
			Role:    "server",
			Center:  "a",
			Start:   at(-6),
			Ready:   at(-5.5),
			Signal:  at(30),
			End:     at(30.01),
			Killed:  true,
		},
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
		At: at(t), Service: "s", Center: center, Instance: "s-" + center, Address: address(center),
		Process: "sample-" + center, Agent: "agent-" + center, Ready: ready,
	}
}

func answer(client string, t float64, center string) record.Request {
	return record.Request{
		Client: client, Service: "s", Start: at(t), End: at(t + 0.001), Peer: address(center), Center: center,
		Instance: "s-" + center,
	}
}

func broken(client string, from, to float64) record.Request {
	return record.Request{
		Client: client, Service: "s", Start: at(from), End: at(to), Peer: address("a"), Code: "Unavailable",
		Cause: record.CauseBroken,
	}
}

func written(t float64, generation int64) oracle.Write {
	return oracle.Write{Name: "w", Begin: at(t), End: at(t + 0.01), Acknowledged: true, Generation: generation}
}
