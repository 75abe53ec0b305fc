package permit

import (
	"testing"
	"time"
)

func TestHoldersCountTheMostWaitersTheLeast(t *testing.T) {
	at := InstantAt(time.Hour, 9*time.Hour)
	for name, c := range map[string]struct {
		now        Instant
		sub, waits time.Duration
	}{
		"plainly":            {InstantAt(time.Hour+time.Second, 9*time.Hour+time.Second), time.Second, time.Second},
		"suspended":          {InstantAt(time.Hour+time.Second, 9*time.Hour+time.Minute), time.Minute, time.Second},
		"wall set back":      {InstantAt(time.Hour+time.Second, 2*time.Hour), time.Second, time.Second},
		"wall set forward":   {InstantAt(time.Hour+time.Second, 99*time.Hour), 90 * time.Hour, time.Second},
		"at the same moment": {at, 0, 0},
	} {
		if got := c.now.Sub(at); got != c.sub {
			t.Errorf("%s: at most %s have passed, want %s", name, got, c.sub)
		}
		if got := c.now.Waited(at); got != c.waits {
			t.Errorf("%s: at least %s have passed, want %s", name, got, c.waits)
		}
	}
}

func TestTheSystemClockRuns(t *testing.T) {
	before := SystemClock().Now()
	time.Sleep(20 * time.Millisecond)
	if now := SystemClock().Now(); now.Sub(before) < 20*time.Millisecond || now.Sub(before) > 10*time.Second {
		t.Errorf("20 ms are %s on the system clock", now.Sub(before))
	}
}

func TestTheWaitOutlastsAPermitOnAnyClock(t *testing.T) {
	lasts := func(d time.Duration, gain float64) float64 { return float64(d) / (1 + gain) }
	for _, held := range []time.Duration{1, time.Millisecond, 5*time.Second + 1, time.Minute} {
		for _, slow := range []float64{-0.005, 0} {
			fast := (1+slow)*1.01 - 1
			if lasts(WithDrift(held), fast) < lasts(held, slow) {
				t.Errorf("%s on a clock that gains %f outlasts the wait on one that gains %f", held, slow, fast)
			}
			if lasts(held, fast) >= lasts(held, slow) {
				t.Errorf("planted: no margin: not found for %s", held)
			}
		}
	}
	if WithDrift(0) != 0 {
		t.Error("nothing is waited for")
	}
}
