//go:build linux

// Package history is clients that write and read at the API while things happen to the servers, and the judgement whether
// what they saw is linearizable.
//
// Each client is a process of its own, on a host of its own, and tells of each operation on its standard output, in lines
// of JSON with times of the machine's one monotonic clock.
package history

import (
	"time"

	"golang.org/x/sys/unix"
)

// Kind is what a client does.
type Kind string

// The kinds. A swap is an update of the version that was read; a write takes whatever is there.
const (
	Read  Kind = "read"
	Write Kind = "write"
	Swap  Kind = "swap"
)

// Outcome is what a client knows of what it did.
type Outcome string

// The outcomes. Unknown may have happened, now or later. Refused did not happen; Conflict did not, for the version was
// another.
const (
	Done     Outcome = "done"
	Unknown  Outcome = "unknown"
	Refused  Outcome = "refused"
	Conflict Outcome = "conflict"
)

// Op is one operation on one register.
type Op struct {
	Client  int     `json:"client"`
	Kind    Kind    `json:"kind"`
	Key     string  `json:"key"`
	Value   string  `json:"value,omitempty"`  // written
	Expect  string  `json:"expect,omitempty"` // by a swap
	Seen    string  `json:"seen,omitempty"`   // by a read
	Outcome Outcome `json:"outcome"`
	// Server that was asked; empty: whichever answered.
	Server string `json:"server,omitempty"`
	// Call and Return are readings of Now, in nanoseconds.
	Call   int64  `json:"call"`
	Return int64  `json:"return"`
	Error  string `json:"error,omitempty"`
}

// Took is how long the operation took.
func (o Op) Took() time.Duration { return time.Duration(o.Return - o.Call) }

// Now reads CLOCK_MONOTONIC, which is one for all processes of a machine.
func Now() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // the clock is always there
	}
	return t.Nano()
}
