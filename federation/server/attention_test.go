package server

import (
	"testing"
	"time"
)

func TestWhoWasStoppedHasNotListened(t *testing.T) {
	now := time.Unix(1000, 0)
	a := newAttention(now)
	for range 100 {
		now = now.Add(distracted)
		a.at(now)
	}
	if got := a.at(now); got != 100*distracted {
		t.Errorf("it has listened for %s, want %s", got, 100*distracted)
	}
	now = now.Add(distracted + 1)
	if got := a.at(now); got != 0 {
		t.Errorf("stopped for longer than %s, it says that it has listened for %s", distracted, got)
	}
	if got := a.at(now.Add(attends)); got != attends {
		t.Errorf("a moment later it has listened for %s", got)
	}
}
