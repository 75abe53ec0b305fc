package server

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// off gives a server a clock that is off, by what is told until it is told otherwise.
func (e *estate) off(i int, by time.Duration) (set func(time.Duration)) {
	var difference atomic.Int64
	set = func(by time.Duration) { difference.Store(int64(by)) }
	set(by)
	e.configs[i].adjust.Clock = func() time.Time { return time.Now().Add(time.Duration(difference.Load())) }
	return set
}

// TestAServerWhoseClockIsFarOffBecomesNone: neither with a token, which stays good, nor as one of the first.
func TestAServerWhoseClockIsFarOffBecomesNone(t *testing.T) {
	t.Parallel()
	e := newEstate(t, 1)
	e.leader()
	c := e.operator(0)
	token := e.invite(c)
	i := e.joiner(token)
	for _, by := range []time.Duration{10 * time.Minute, -10 * time.Minute, 365 * 24 * time.Hour} {
		e.off(i, by)
		e.start(i)
		if err := e.ended(i); !usage(err) || !strings.Contains(err.Error(), "join: the clock of server s2 says") ||
			!strings.Contains(err.Error(), "that of server s1") {
			t.Errorf("with a clock %s off it ends with: %v", by, err)
		}
	}
	e.off(i, clockSlack/2)
	e.start(i)
	comes(t, "ready with a clock that is a little off, and the same token", e.servers[i].ready)

	first := layEstate(t, 2)
	set := first.off(1, -365*24*time.Hour)
	first.start(0)
	first.start(1)
	first.waitsFor(0, "server s2 (the clock of server s1 says")
	first.waitsFor(1, "server s1 (the clock of server s2 says")
	for i, s := range first.servers {
		if s.node.Folder().Cluster != "" {
			t.Errorf("server %d is enrolled", i)
		}
	}
	set(0)
	first.leader()
}

// TestAClockThatJumpsIsSaidAndDisturbsNothing: of a server that is one of the estate.
func TestAClockThatJumpsIsSaidAndDisturbsNothing(t *testing.T) {
	t.Parallel()
	e := layEstate(t, 3)
	var said bytes.Buffer
	var mu sync.Mutex
	e.log = slog.New(slog.NewTextHandler(locked{&mu, &said}, nil))
	set := e.off(1, 0)
	for i := range e.configs {
		e.start(i)
	}
	e.leader()
	c := e.operator(0, 1, 2)
	check := e.load(c, 1)
	set(10 * time.Minute)
	comes(t, "a warning", func() error {
		mu.Lock()
		defer mu.Unlock()
		if !strings.Contains(said.String(), "the clocks of two servers are far apart") || !strings.Contains(said.String(), "difference=") {
			return fmt.Errorf("nobody says so")
		}
		return nil
	})
	check()
	e.stop(1) // nor does a start with it
	e.start(1)
	comes(t, "ready", e.servers[1].ready)
	create(t, e.api(1, patient).Centers(), center("after", "r1")) // a write at the server with that clock
}
