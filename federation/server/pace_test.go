package server

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// patient is how long these tests wait for something that takes a moment on an idle machine: it may be a busy one.
const patient = 5 * time.Minute

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

const (
	// probesEvery is how often hindrance looks, probesIn what one look costs at most where nothing is in the way.
	probesEvery, probesIn = 20 * time.Millisecond, 20 * time.Millisecond
)

// hindrance knows how long the machine kept this process from its work, which no server can do anything about: from a
// processor, and from its disk. Times that have an upper bound are judged without it.
type hindrance struct {
	mu     sync.Mutex
	looks  []look
	looked chan struct{} // closed and replaced after each look
}

// look is a nap, and a write to the disk.
type look struct{ from, to time.Time }

// hinders watches the machine until the test ends.
func hinders(t *testing.T) *hindrance {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "probe"))
	check(t, err)
	h := &hindrance{looked: make(chan struct{})}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			from := time.Now()
			select {
			case <-end:
				return
			case <-time.After(probesEvery):
			}
			_, _ = file.WriteAt([]byte{1}, 0)
			_ = file.Sync()
			h.mu.Lock()
			h.looks = append(h.looks, look{from, time.Now()})
			close(h.looked)
			h.looked = make(chan struct{})
			h.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		close(end)
		<-ended
		_ = file.Close()
	})
	return h
}

// lost is how much of the time between two moments the machine took.
func (h *hindrance) lost(from, to time.Time) (lost time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.looks) == 0 || h.looks[len(h.looks)-1].to.Before(to) {
		looked := h.looked
		h.mu.Unlock()
		<-looked
		h.mu.Lock()
	}
	for _, l := range h.looks {
		if !l.to.Before(from) && !l.from.After(to) {
			lost += max(0, l.to.Sub(l.from)-probesEvery-probesIn)
		}
	}
	return lost
}
