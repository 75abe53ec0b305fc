package server

import (
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// patient is how long these tests wait for something that takes a moment on an idle machine: it may be a busy one.
const patient = 3 * time.Minute

// quickStart is what an idle machine needs at most to make a server. The race detector makes it some five times as long.
const quickStart = 40 * time.Millisecond

// pace is how fast the machine is: by how long the last servers took to be made, since it is others' work, too, that makes it
// slow.
var pace struct {
	mu     sync.Mutex
	starts []time.Duration
}

// started notes how long a server took.
func started(took time.Duration) {
	pace.mu.Lock()
	defer pace.mu.Unlock()
	pace.starts = append(pace.starts, took)
	pace.starts = pace.starts[max(0, len(pace.starts)-8):]
}

// slowness is how many times as long something takes as on an idle machine: at least 1.
func slowness() float64 {
	pace.mu.Lock()
	defer pace.mu.Unlock()
	if len(pace.starts) == 0 {
		if raceDetector {
			return 4
		}
		return 1
	}
	var all time.Duration
	for _, took := range pace.starts {
		all += took
	}
	return max(1, float64(all)/float64(len(pace.starts))/float64(quickStart))
}

// scaled is a time that is enough on an idle machine, as many times longer as this one is slow, within reason.
func scaled(idle time.Duration) time.Duration {
	return time.Duration(float64(idle) * min(slowness(), 8))
}

// electionTimeout is short, since many tests wait for elections, but not so short that a busy machine has one after the other.
func electionTimeout() *metav1.Duration {
	return &metav1.Duration{Duration: time.Duration(float64(300*time.Millisecond) * min(max(1, slowness()/2), 6)).Round(time.Millisecond)}
}
