package drill

import (
	"context"
	"slices"
	"testing"
	"time"

	"pentad.dev/pentad/dev/drill/oracle"
	"pentad.dev/pentad/dev/sample/record"
)

// begun is a tracker with two probes and the client of center a.
func begun() *tracker {
	t := newTracker()
	t.connect("relay-a", "", true)
	t.connect("relay-b", "", true)
	t.connect("client-a", "a", true)
	return t
}

func at(ms int) record.Time { return record.Time(1e15).Add(time.Duration(ms) * time.Millisecond) }

func (t *tracker) make(ms int, center string, in bool) *change {
	c, err := t.begin(change{Change: oracle.Change{Service: "s", Instance: "i"}, address: "1:1", center: center, in: in},
		func() (record.Time, error) { return at(ms), nil })
	if err != nil {
		panic(err)
	}
	return c
}

func TestAChangeHasArrivedWhenEveryDataPlaneShowsIt(t *testing.T) {
	tr := begun()
	tr.make(0, "a", true)
	tr.saw("relay-a", "s", 0, at(5), []string{"1:1", "2:2"})
	tr.saw("relay-b", "s", 0, at(9), []string{"2:2"}) // something else
	tr.saw("relay-b", "s", 0, at(12), []string{"1:1"})
	tr.saw("client-a", "s", 7, at(20), []string{"1:1"})
	changes, _ := tr.results()
	if got := changes[0].Spread(); got != 20*time.Millisecond || len(changes[0].Missing) != 0 {
		t.Errorf("spread %s, missing %v", got, changes[0].Missing)
	}
}

func TestAClientSeesChangesOfItsOwnCenterOnly(t *testing.T) {
	tr := begun()
	tr.make(0, "b", true)
	tr.saw("relay-a", "s", 0, at(5), []string{"1:1"})
	tr.saw("relay-b", "s", 0, at(6), []string{"1:1"})
	if changes, _ := tr.results(); len(changes[0].Missing) != 0 {
		t.Errorf("missing %v", changes[0].Missing)
	}
}

func TestARemovalHasArrivedWhenNoLeafHasTheAddress(t *testing.T) {
	tr := begun()
	tr.saw("client-a", "s", 1, at(-10), []string{"1:1"})
	tr.saw("client-a", "s", 2, at(-9), []string{"1:1"})
	c := tr.make(0, "a", false)
	tr.saw("client-a", "s", 1, at(5), nil)
	if slices.Contains(tr.missing(c), "client-a") == false {
		t.Error("it has arrived while a leaf still picks from it")
	}
	tr.saw("client-a", "s", 2, at(6), nil)
	if slices.Contains(tr.missing(c), "client-a") {
		t.Error("it has not arrived")
	}
}

func TestAnUpdateFromBeforeTheChangeProvesNothing(t *testing.T) {
	tr := begun()
	c := tr.make(0, "a", true)
	tr.saw("relay-a", "s", 0, at(-1), []string{"1:1"}) // read late
	if !slices.Contains(tr.missing(c), "relay-a") {
		t.Error("it has arrived before it was made")
	}
}

func TestTheNextChangeOfAnAddressOvertakesTheOneBefore(t *testing.T) {
	tr := begun()
	for _, relay := range []string{"relay-a", "relay-b"} {
		tr.saw(relay, "s", 0, at(-1), []string{"1:1"})
	}
	tr.make(0, "b", false)
	tr.saw("relay-a", "s", 0, at(10), nil)
	second := tr.make(100, "b", true)
	second.required["relay-b"] = true // as if it had shown the first in time
	tr.saw("relay-a", "s", 0, at(110), []string{"1:1"})
	tr.saw("relay-b", "s", 0, at(120), []string{"1:1"}) // was never without it: the first change was skipped
	changes, _ := tr.results()
	if !changes[0].Superseded || len(changes[0].Missing) != 0 {
		t.Errorf("first: %+v", changes[0])
	}
	if changes[1].Superseded || changes[1].Spread() != 20*time.Millisecond {
		t.Errorf("second: %+v", changes[1])
	}
}

func TestADataPlaneThatGoesAwayIsNotWaitedForOneThatStaysAndNeverShowsItIsMissing(t *testing.T) {
	tr := begun()
	c := tr.make(0, "a", true)
	tr.saw("relay-a", "s", 0, at(5), []string{"1:1"})
	tr.connect("client-a", "a", false)
	if got := tr.missing(c); !slices.Equal(got, []string{"relay-b"}) {
		t.Errorf("missing %v", got)
	}
	if tr.wait(context.Background(), c, 20*time.Millisecond) {
		t.Error("waited for enough")
	}
	changes, _ := tr.results()
	if !slices.Equal(changes[0].Missing, []string{"relay-b"}) {
		t.Errorf("missing %v", changes[0].Missing)
	}
	tr.connect("relay-b", "", false)
	tr.connect("relay-b", "", true) // a new stream: it was not there all the time
	if changes, _ := tr.results(); len(changes[0].Missing) != 0 {
		t.Errorf("missing %v", changes[0].Missing)
	}
}

func TestWaitingEndsWithTheLastProbe(t *testing.T) {
	tr := begun()
	c := tr.make(0, "a", true)
	go func() {
		tr.saw("relay-a", "s", 0, at(5), []string{"1:1"})
		time.Sleep(10 * time.Millisecond)
		tr.saw("relay-b", "s", 0, at(6), []string{"1:1"})
	}()
	if !tr.wait(context.Background(), c, time.Minute) { // the client is not waited for
		t.Error("did not arrive")
	}
}

func TestADeathIsADetectionAndNoChange(t *testing.T) {
	tr := begun()
	tr.saw("relay-a", "s", 0, at(-1), []string{"1:1"})
	tr.saw("relay-b", "s", 0, at(-1), []string{"1:1"})
	c, _ := tr.begin(change{Change: oracle.Change{Service: "s"}, address: "1:1", center: "b", killed: true},
		func() (record.Time, error) { return at(0), nil })
	tr.saw("relay-a", "s", 0, at(250), nil)
	tr.saw("relay-b", "s", 0, at(300), nil)
	changes, detections := tr.results()
	if len(changes) != 0 || len(detections) != 1 || detections[0] != 300*time.Millisecond {
		t.Errorf("%v, %v (%v)", changes, detections, tr.missing(c))
	}
}

func TestADataPlaneThatHasItAlreadyIsNotWaitedFor(t *testing.T) {
	tr := begun()
	tr.saw("relay-a", "s", 0, at(-1), []string{"1:1"})
	c := tr.make(0, "b", true)
	if got := tr.missing(c); !slices.Equal(got, []string{"relay-b"}) {
		t.Errorf("missing %v", got)
	}
}

func TestWhatSomebodyElseCutOffIsNotJudged(t *testing.T) {
	tr := begun()
	tr.make(0, "a", true)
	tr.make(0, "b", true)
	tr.excuse("a")
	changes, _ := tr.results()
	if !changes[0].Superseded || len(changes[0].Missing) != 0 || len(changes[1].Missing) != 2 {
		t.Errorf("%+v", changes)
	}
}
