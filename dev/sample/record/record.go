package record

// FileExtension ends the names of record files.
const FileExtension = ".jsonl"

// What a line says.
const (
	// Opened begins a file: a client process started.
	Opened = "open"
	// Ready says that the client reached every service once, and begins to count.
	Ready = "ready"
	// Started marks a request that was under way at a flush.
	Started = "start"
	// Ended is a request with its outcome. Most have no Started line.
	Ended = "end"
	// Applied says that the client's own picking set of a service changed.
	Applied = "applied"
	// Closed ends a file in order; a file without it belongs to a process that died.
	Closed = "close"
)

// Cause classes of failed requests, by what the client saw.
const (
	// CauseBroken: the connection ended with the request in flight.
	CauseBroken = "connection broken in flight"
	// CauseUnreachable: every endpoint that the client could pick refused the connection; nothing was sent.
	CauseUnreachable = "no endpoint reachable"
	// CauseNoEndpoints: the client had no endpoints to pick from, or no resource at all; nothing was sent.
	CauseNoEndpoints = "client without endpoints"
	// CauseDeadline: no answer in time.
	CauseDeadline = "deadline exceeded"
	// CauseAnswer: the server answered with an error.
	CauseAnswer = "error answered"
	// CauseOther: none of the above.
	CauseOther = "other"
)

// Line is one line of a record file; which fields are set depends on What.
type Line struct {
	What string `json:"what"`
	// At is when the line's event happened; of a request, when it was started.
	At Time `json:"at"`

	// ID numbers the requests of a file.
	ID      uint64 `json:"id,omitempty"`
	Service string `json:"service,omitempty"`
	// End is when the answer or the error came.
	End Time `json:"end,omitempty"`
	// Peer is the address that the request was sent to, empty if it was sent to none.
	Peer string `json:"peer,omitempty"`
	// Center and Instance say who answered.
	Center   string `json:"center,omitempty"`
	Instance string `json:"instance,omitempty"`
	// Code is the gRPC status; empty is OK.
	Code  string `json:"code,omitempty"`
	Cause string `json:"cause,omitempty"`
	Error string `json:"error,omitempty"`

	// Write is what a request that changes something has more.
	Write

	// Addresses are the picking set of an Applied line.
	Addresses []string `json:"addresses,omitempty"`

	// Client is the client's center, PID its process, of an Opened line.
	Client string `json:"client,omitempty"`
	Region string `json:"region,omitempty"`
	PID    int    `json:"pid,omitempty"`
}

// Write is what a request that changes something has more.
type Write struct {
	// WriteID is the client's own name of the write, unique in the estate, and the same however often it is sent; empty:
	// the request is no write.
	WriteID     string `json:"write,omitempty"`
	Unitization string `json:"unitization,omitempty"`
	Shard       int    `json:"shard,omitempty"`
	User        string `json:"user,omitempty"`
	// Cell is the one that answered.
	Cell string `json:"cell,omitempty"`
	// Sent is how often it was sent, Refused how often somebody refused it (a guard, a route or a store that is closed),
	// whatever became of it in the end.
	Sent    int `json:"sent,omitempty"`
	Refused int `json:"refused,omitempty"`
	// Readdressed says that it was sent to a cell that a refusal named.
	Readdressed bool `json:"readdressed,omitempty"`
	// Reason is that of the last refusal: a guard's (FROZEN, WRONG_CELL, ...), or ReasonRoute.
	Reason string `json:"reason,omitempty"`
}

// ReasonRoute is the Reason of a refusal by a route, which gives none of its own.
const ReasonRoute = "ROUTE"

// Request is a request as a reader knows it.
type Request struct {
	// File is the record file's name: one client process.
	File string
	// Client is the client's center.
	Client           string
	Service          string
	Start, End       Time
	Peer             string
	Center, Instance string
	// Code is the gRPC status; empty is OK. Meaningless while Open.
	Code, Cause, Error string
	Write
	// Open says that the request never ended: its client died, or still waits.
	Open bool
}

// Unknown says of a write whether it may or may not have been done: it never ended, or ended with something else than a
// refusal.
func (r Request) Unknown() bool {
	return r.Open || r.Code != "" && r.Code != codeRefused
}

// codeRefused is the status of who has not done what it was asked for.
const codeRefused = "FailedPrecondition"

// OK says whether the request was answered without an error.
func (r Request) OK() bool { return !r.Open && r.Code == "" }
