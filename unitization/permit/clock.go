package permit

import "time"

// Instant is a moment on one process's clock, as two readings: the monotonic clock, which never goes back but stops
// while the machine is suspended, and the wall clock, which goes on but may be set. Instants of two processes are never
// compared. The zero Instant is no moment.
type Instant struct{ mono, wall time.Duration }

// InstantAt is the instant with these two readings, for clocks of tests and simulations.
func InstantAt(mono, wall time.Duration) Instant { return Instant{mono: mono, wall: wall} }

// Sub is the most that can have passed since the earlier b: who holds a permit counts with it. A suspended machine
// shows in the wall clock, a wall clock that was set back leaves the monotonic one.
func (a Instant) Sub(b Instant) time.Duration { return max(a.mono-b.mono, a.wall-b.wall) }

// Waited is the least that must have passed since the earlier b: who waits for the end of others' permits counts with
// it. A wall clock that was set forward ends nobody else's permit.
func (a Instant) Waited(b Instant) time.Duration { return a.mono - b.mono }

// Clock tells the time of one process. Its instants are comparable with those of every Clock of the same kind in the
// process.
type Clock interface{ Now() Instant }

// SystemClock reads time.Now once, for both readings. CLOCK_BOOTTIME would be one reading in place of two, but no vDSO
// call of Go's serves it: as a system call it takes several times what a guard's whole check may (see DESIGN.md).
func SystemClock() Clock { return systemClock{} }

type systemClock struct{}

// processStart only makes a number of the monotonic reading, which the standard library gives as a difference.
var processStart = time.Now()

func (systemClock) Now() Instant {
	t := time.Now()
	return Instant{mono: t.Sub(processStart), wall: time.Duration(t.UnixNano())}
}

// WithDrift is how long to wait for the end of a permit that holds d on another clock: a hundredth more (rule 5 of
// ownership). It covers clocks of which the fastest gains at most 1 % on the slowest.
func WithDrift(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d + d/100 + 1
}
