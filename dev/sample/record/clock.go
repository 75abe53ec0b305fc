package record

import (
	"time"

	"golang.org/x/sys/unix"
)

// Time is CLOCK_BOOTTIME in nanoseconds: the same for every process of one machine, monotonic, and running during
// suspend.
type Time int64

// Now reads the clock.
func Now() Time {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("CLOCK_BOOTTIME can't be read: " + err.Error()) // Linux has had it since 2.6.39
	}
	return Time(ts.Nano())
}

// Add is t and d later.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// Sub is the time from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }
