package oracle

import (
	"time"

	"pentad.dev/pentad/dev/sample/record"
)

// Time is the clock of all events.
type Time = record.Time

// Bounds are the promises that a drill is held to.
type Bounds struct {
	// Removal is how long after its removal an endpoint may still be sent requests.
	Removal time.Duration `json:"removal"`
	// Settle is how long an endpoint must have existed before clients are expected to know it.
	Settle time.Duration `json:"settle"`
	// Starved is how long a client may be without a good answer from a service that exists.
	Starved time.Duration `json:"starved"`
	// ErrorRatio is failed requests, but those in flight at killed processes, by all requests.
	ErrorRatio float64 `json:"errorRatio"`
	// Spread is the 99th percentile of the time from an endpoint's change to the last data plane.
	Spread time.Duration `json:"spread"`
	// Write is the time from a leader's death to the next acknowledged write; Region is the same when the leader died with
	// a region: of what is left, hardly more than a majority, all must agree on one candidate.
	Write  time.Duration `json:"write"`
	Region time.Duration `json:"region"`
	// Planned is how long a planned switchover may leave a shard without writes; Disaster is how long after its approval a
	// Disaster may take until writes are taken again: T and two seconds.
	Planned  time.Duration `json:"planned"`
	Disaster time.Duration `json:"disaster"`
}

// DefaultBounds are the promises of the project.
func DefaultBounds() Bounds {
	return Bounds{
		Removal: time.Second, Settle: 3 * time.Second, Starved: 3 * time.Second,
		ErrorRatio: 0.001, Spread: 100 * time.Millisecond, Write: 2 * time.Second, Region: 5 * time.Second,
		Planned: time.Second, Disaster: 7 * time.Second,
	}
}

// History is all that a drill recorded.
type History struct {
	Requests []record.Request
	// Clients are the lives of the load generators, from the moment when they began to count.
	Clients []ClientLife
	// Registrations are the changes of all registry files, in order of time.
	Registrations []Registration
	// Lives are the lives of all processes.
	Lives []Life
	// Writes are those of the drill's writer, in order of time.
	Writes []Write
	// Finals are the objects of the drill's writer as each server shows them at the end, by server.
	Finals map[string]map[string]Object
	// Holders are the feeds that each server and relay holds at the end.
	Holders []Holder
	// Changes are the endpoint changes whose way to the data planes was watched.
	Changes []Change
	// Elections are the leaders that were killed.
	Elections []Election
	// Expectations are what the drill's steps expected.
	Expectations []Expectation
	// Sharded are the services whose users are served by one unit alone. Their requests are not judged as those of other
	// services are: while an owner moves or is gone nobody else may answer. Units judges their writes.
	Sharded []string
	// Units is nil when the story has none.
	Units *UnitHistory
}

// ClientLife is a load generator's life.
type ClientLife struct {
	Center   string
	Services []string
	// Rate is requests a second to each service.
	Rate     float64
	From, To Time
}

// Registration is a change of a registry file.
type Registration struct {
	At                        Time
	Service, Center, Instance string
	Address                   string
	// Process hosts the instance, Agent reads the registry file.
	Process, Agent string
	// Ready means that requests may be sent; otherwise the instance drains or was removed.
	Ready bool
}

// Life is a process from its start to its end.
type Life struct {
	Process, Role, Center string
	// Start is when it was there. Ready is when it first said that it serves, zero if it never did.
	Start, Ready Time
	// Signal is when it was sent the signal that ended it, End when it was gone. Zero: it runs. For an end that nobody
	// asked for, Signal is the earliest moment at which it may have happened.
	Signal, End Time
	// Killed says that the end was sudden, by the drill or by somebody else; otherwise it stopped in order.
	Killed bool
	// Unasked says that it was somebody else.
	Unasked bool
}

// Write is an attempt to write an object of the drill's writer.
type Write struct {
	Name       string
	Begin, End Time
	// Acknowledged with this generation, or failed with this error; a failed write may have taken effect.
	Acknowledged bool
	Generation   int64
	Error        string
}

// Object is what a server shows of an object.
type Object struct {
	Generation int64
}

// Holder is a process that holds feeds.
type Holder struct {
	Process, Role, Center string
	// Error says why nothing is known of it.
	Error string
	// Feeds by id; the rendered resources of a relay are under the id ResourcesFeed.
	Feeds map[string]FeedState
}

// ResourcesFeed is the id under which a relay's rendered resources are compared, among the relays of its center.
const ResourcesFeed = "resources"

// FeedState is a position with the digest of what is there.
type FeedState struct {
	Position string `json:"position"`
	Digest   string `json:"digest"`
	Records  int    `json:"records"`
}

// Change is an endpoint's change on its way.
type Change struct {
	At                            Time
	Step, What, Service, Instance string
	// Arrivals are when each data plane had it.
	Arrivals map[string]Time
	// Missing are the data planes that were there all the time and did not have it in the end.
	Missing []string
	// Superseded: the endpoint changed again before all had it, or its agent or its process was ended by somebody else;
	// the time to the last one is unknown.
	Superseded bool
}

// Spread is the time from the change to the last data plane.
func (c Change) Spread() time.Duration {
	var last Time
	for _, at := range c.Arrivals {
		last = max(last, at)
	}
	return max(0, last.Sub(c.At))
}

// Election is a leader's death and what followed.
type Election struct {
	Step, Old, New string
	// Region says that it died together with other servers.
	Region bool
	// Killed is when the signal was sent. Leader is when another server was first seen to lead; Written is when the first
	// write that began after the kill was acknowledged. Zero: never.
	Killed, Leader, Written Time
}

// Expectation is something that a step expects.
type Expectation struct {
	Step   string `json:"step"`
	What   string `json:"what"`
	Met    bool   `json:"met"`
	Detail string `json:"detail,omitempty"`
}
