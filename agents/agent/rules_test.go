package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The writers' rules of feeds, each broken on purpose and found.
func TestPlantedBugsAreFound(t *testing.T) {
	for _, planted := range []struct {
		name   string
		broken breakage
		look   func(testing.TB, breakage) error
	}{
		{"rule 1: the incarnation is not persisted", breakage{forgetIncarnation: true}, clockBack},
		{"rule 1: the incarnation is used again", breakage{reuseIncarnation: true}, clockBack},
		{"rule 1: the incarnation is used again, a reader was there", breakage{reuseIncarnation: true}, lostDelete},
		{"rule 3: a new incarnation before the source answered", breakage{beginEmpty: true}, silentSource},
		{"rule 4: a reader that is ahead is not heard", breakage{deafToAhead: true}, lostDisk},
	} {
		err := planted.look(t, planted.broken)
		if err == nil {
			t.Errorf("not found: %s", planted.name)
			continue
		}
		t.Logf("%-60s found: %v", planted.name, err)
	}
}

func TestARestartWhoseClockWentBackTakesAHigherIncarnation(t *testing.T) {
	check(t, clockBack(t, breakage{}))
}

func clockBack(t testing.TB, broken breakage) error {
	s := newScript()
	m := newMember(t, s)
	m.broken = broken
	last := uint64(0)
	for i := range 3 {
		m.config.Clock = func() time.Time { return time.Now().Add(-time.Duration(i) * time.Hour) }
		m.start()
		if err := s.replace("orders"); err != nil {
			return err
		}
		got := m.position().Incarnation
		m.stop()
		if got <= last {
			return fmt.Errorf("incarnation %d after %d", got, last)
		}
		last = got
	}
	return nil
}

// What is deleted while the agent is down is gone from readers when it is back.
func TestARestartTellsReadersWhatWasDeletedMeanwhile(t *testing.T) {
	check(t, lostDelete(t, breakage{}))
}

func lostDelete(t testing.TB, broken breakage) error {
	s, relay := newScript(), newHolder(t, "relay")
	m := newMember(t, s, relay)
	m.broken = broken
	m.start()
	check(t, s.replace("catalog"), s.apply(changes("orders")...), relay.shows("catalog", "orders"))
	m.stop()
	m.start()
	return hears(broken, func() error { return errors.Join(s.replace("orders"), relay.shows("orders")) })
}

// hears waits for f. What a planted bug prevents, it prevents for good: then one second tells.
func hears(broken breakage, f func() error) error {
	patience := soon
	if broken != (breakage{}) {
		patience = time.Second
	}
	result := make(chan error, 1)
	go func() { result <- f() }()
	select {
	case err := <-result:
		return err
	case <-time.After(patience):
		return fmt.Errorf("not within %s", patience)
	}
}

func TestNothingIsPublishedBeforeTheSourceHasAnswered(t *testing.T) {
	check(t, silentSource(t, breakage{}))
}

// silentSource restarts the agent while its registry does not answer: readers keep what they know.
func silentSource(t testing.TB, broken breakage) error {
	s, relay := newScript(), newHolder(t, "relay")
	m := newMember(t, s, relay)
	m.start()
	check(t, s.replace("catalog", "orders"), relay.shows("catalog", "orders"))
	before := relay.position()
	m.stop()
	m.broken = broken
	m.start()
	check(t, relay.until("report", func() bool { return relay.report().GetError() == errNoAnswer.Error() }))
	look := 50 * time.Millisecond
	if broken != (breakage{}) {
		look = soon // what is planted is waited for
	}
	for deadline := time.Now().Add(look); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if got := relay.shown(); len(got) != 2 || relay.position() != before {
			return fmt.Errorf("before the source has answered readers show %v at %s", got, relay.position())
		}
	}
	check(t, s.replace("orders"))
	return relay.shows("orders")
}

func TestAnAgentThatLostItsDiskAndItsClockIsHeardAgain(t *testing.T) {
	check(t, lostDisk(t, breakage{}))
}

// lostDisk gives the agent a new data folder and a clock that is behind, so that its readers are ahead of it.
func lostDisk(t testing.TB, broken breakage) error {
	s, relay := newScript(), newHolder(t, "relay")
	m := newMember(t, s, relay)
	m.start()
	check(t, s.replace("catalog", "orders"), relay.shows("catalog", "orders"))
	m.stop()
	held := relay.position()
	m.broken = broken
	m.config.DataDir = t.TempDir()
	m.config.Clock = func() time.Time { return time.Now().Add(-time.Hour) }
	m.start()
	err := hears(broken, func() error { return errors.Join(s.replace("assets", "orders"), relay.shows("assets", "orders")) })
	if err != nil {
		return err
	}
	if got := relay.position(); !held.Before(got) {
		return fmt.Errorf("the reader went from %s to %s", held, got)
	}
	// And what it took is on disk: the next start is above it, also where no reader can say so.
	was := m.position().Incarnation
	m.stop()
	m.config.Relays = nil
	m.start()
	check(t, s.replace("orders"))
	if got := m.position().Incarnation; got <= was {
		return fmt.Errorf("after rule 4 and a restart incarnation %d follows %d", got, was)
	}
	return nil
}

// A reader may be heard of at any time, not at the start only: here it comes back from a partition.
func TestAReaderThatComesLaterAndIsAheadIsHeard(t *testing.T) {
	s, near, far := newScript(), newHolder(t, "near"), newHolder(t, "far")
	m := newMember(t, s, near, far)
	m.start()
	check(t, s.replace("orders"), near.shows("orders"), far.shows("orders"))
	m.stop()
	far.stopped()
	m.config.DataDir, m.config.Relays = t.TempDir(), m.config.Relays[1:]
	m.config.Clock = func() time.Time { return time.Now().Add(-time.Hour) }
	m.start()
	check(t, s.replace("assets"))
	behind := m.position()
	if !behind.Before(far.position()) {
		t.Fatal("the test's writer is not behind its reader")
	}
	far.start()
	check(t, far.shows("assets"))
	check(t, s.apply(changes("catalog")...), far.shows("assets", "catalog"))
}

// Two agents under one identity would outbid each other for ever: after some rounds one says so and stops.
func TestTwoAgentsUnderOneIdentityStopBiddingAndSaySo(t *testing.T) {
	relay := newHolder(t, "relay")
	members := []*member{}
	for _, name := range []string{"catalog", "orders"} {
		s := newScript()
		m := newMember(t, s, relay)
		m.start()
		check(t, s.replace(name))
		members = append(members, m)
	}
	var err error
	select {
	case err = <-members[0].done:
		members[0].cancel = nil
	case err = <-members[1].done:
		members[1].cancel = nil
	case <-time.After(soon):
		t.Fatal("both go on")
	}
	if !errors.Is(err, ErrOutbid) || !says(err, "stop one of the agents") {
		t.Errorf("got %v", err)
	}
	for _, m := range members {
		m.broken.deafToAhead = true // the other one may have given up, too
	}
}

func TestADamagedFileOfIncarnationsIsSetAside(t *testing.T) {
	s, relay := newScript(), newHolder(t, "relay")
	m := newMember(t, s, relay)
	m.start()
	check(t, s.replace("orders"), relay.shows("orders"))
	m.stop()
	path := filepath.Join(m.config.DataDir, "incarnations.json")
	check(t, os.WriteFile(path, []byte(`{"vm-`), 0o600))
	m.start()
	check(t, s.replace("assets"), relay.shows("assets"))
	if _, err := os.Stat(path + ".damaged"); err != nil {
		t.Error(err)
	}
}

// An incarnation that cannot be persisted is not used.
func TestNothingIsPublishedWithADiskThatCannotBeWritten(t *testing.T) {
	s, relay := newScript(), newHolder(t, "relay")
	m := newMember(t, s, relay)
	m.start()
	check(t, relay.until("report", func() bool { return relay.report().GetError() != "" }))
	check(t, os.RemoveAll(m.config.DataDir))
	if err := s.replace("orders"); !says(err, "not persisted, so not used") {
		t.Errorf("got %v", err)
	}
	if p := m.position(); !p.IsZero() {
		t.Errorf("published at %s", p)
	}
}
