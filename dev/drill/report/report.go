package report

import (
	"time"

	"pentad.dev/pentad/dev/drill/oracle"
)

// Report is a drill's report. Times are seconds since the drill began, durations of figures milliseconds.
type Report struct {
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
	Machine Machine   `json:"machine"`
	// Interrupted says why the drill did not come to its end; empty if it did.
	Interrupted string `json:"interrupted,omitempty"`
	// Pass is what the exit status says: the promises were kept and, if the drill was strict, the bounds of speed, too.
	Pass    bool           `json:"pass"`
	Strict  bool           `json:"strict,omitempty"`
	Verdict oracle.Verdict `json:"verdict"`
	Bounds  oracle.Bounds  `json:"bounds"`
	Figures Figures        `json:"figures"`
	Steps   []Step         `json:"steps"`
	Centers []Center       `json:"centers"`
	Marks   []Mark         `json:"marks"`
	Changes []Change       `json:"changes"`
}

// Machine is where the drill ran.
type Machine struct {
	CPUs      int    `json:"cpus"`
	MemoryMB  int    `json:"memoryMB"`
	Kernel    string `json:"kernel"`
	Processes int    `json:"processes"`
}

// Figures are the drill's main figures.
type Figures struct {
	Requests int `json:"requests"`
	// Failed are all failures but those in flight at killed processes.
	Failed   int `json:"failed"`
	InFlight int `json:"inFlight"`
	Unknown  int `json:"unknown"`
	// Sharded failed at a sharded service while its owner was moving or gone.
	Sharded    int     `json:"sharded,omitempty"`
	ErrorRatio float64 `json:"errorRatio"`
	// Spread is the time from an endpoint's change to the last data plane.
	Spread Distribution `json:"spread"`
	// Detection is the time from an instance's sudden death to the last data plane that stopped using it.
	Detection Distribution `json:"detection"`
	Elections []Election   `json:"elections"`
	// Writes are the acknowledged writes of the drill's writer.
	Writes Distribution `json:"writes"`
	// Units is absent when the story has none.
	Units *Units `json:"units,omitempty"`
}

// Distribution sums up durations, in milliseconds.
type Distribution struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// Election is a leader's death.
type Election struct {
	Step string `json:"step"`
	Old  string `json:"old"`
	New  string `json:"new"`
	// LeaderMS is the time to a new leader, WriteMS to the next acknowledged write. Negative: never.
	LeaderMS float64 `json:"leaderMS"`
	WriteMS  float64 `json:"writeMS"`
}

// Step is one step of the drill.
type Step struct {
	Number       int                  `json:"number"`
	Name         string               `json:"name"`
	What         string               `json:"what"`
	From         float64              `json:"from"`
	To           float64              `json:"to"`
	Requests     int                  `json:"requests"`
	Failed       int                  `json:"failed"`
	InFlight     int                  `json:"inFlight"`
	Unknown      int                  `json:"unknown"`
	Sharded      int                  `json:"sharded,omitempty"`
	Causes       map[string]int       `json:"causes,omitempty"`
	Latency      Distribution         `json:"latency"`
	Spread       Distribution         `json:"spread"`
	Matrix       map[string]Served    `json:"matrix"`
	Notes        []string             `json:"notes,omitempty"`
	Expectations []oracle.Expectation `json:"expectations,omitempty"`
}

// Served counts the good answers that a client's center got, by the center that gave them.
type Served map[string]int

// Center is a center's row in the timeline.
type Center struct {
	Name   string `json:"name"`
	Region string `json:"region"`
	// Buckets are BucketSeconds wide, from the drill's beginning.
	Buckets []Bucket `json:"buckets"`
}

// BucketSeconds is the timeline's resolution.
const BucketSeconds = 0.25

// Bucket counts the requests of a center's client that began in it.
type Bucket struct {
	Own      int `json:"own,omitempty"`      // answered in the client's own center
	Region   int `json:"region,omitempty"`   // in another center of its region
	Far      int `json:"far,omitempty"`      // in another region
	InFlight int `json:"inFlight,omitempty"` // lost with a killed process, or its owner was moving or gone
	Failed   int `json:"failed,omitempty"`
}

// Total is the height of a bucket.
func (b Bucket) Total() int { return b.Own + b.Region + b.Far + b.InFlight + b.Failed }

// Mark is an event in the timeline.
type Mark struct {
	At     float64 `json:"at"`
	Kind   string  `json:"kind"`
	Center string  `json:"center,omitempty"`
	Text   string  `json:"text"`
}

// Kinds of marks.
const (
	MarkKill   = "kill"   // the drill killed a process
	MarkLost   = "lost"   // a process ended and the drill had not asked it to
	MarkStart  = "start"  // a process started
	MarkLeader = "leader" // another server leads
	MarkPolicy = "policy" // intent was written by a step
)

// Change is an endpoint's change.
type Change struct {
	At       float64  `json:"at"`
	Step     string   `json:"step"`
	What     string   `json:"what"`
	Instance string   `json:"instance"`
	SpreadMS float64  `json:"spreadMS"`
	Last     string   `json:"last,omitempty"`
	Missing  []string `json:"missing,omitempty"`
}
