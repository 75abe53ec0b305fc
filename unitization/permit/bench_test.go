package permit

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkClock is what a holder pays to know whether its permit holds, beside the clock that would do with one
// reading: the reason why SystemClock reads time.Now.
func BenchmarkClock(b *testing.B) {
	clock := SystemClock()
	p := &Permit{Asked: clock.Now(), Holds: time.Hour}
	b.Run("left", func(b *testing.B) {
		for b.Loop() {
			if p.Left(clock.Now()) <= 0 {
				b.Fatal("ended")
			}
		}
	})
	b.Run("boottime", func(b *testing.B) {
		var ts unix.Timespec
		for b.Loop() {
			unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
		}
	})
}
