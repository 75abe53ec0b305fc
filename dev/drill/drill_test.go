package drill

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pentad.dev/pentad/dev"
	"pentad.dev/pentad/dev/drill/oracle"
	"pentad.dev/pentad/dev/drill/report"
	"pentad.dev/pentad/dev/sample/record"
	"pentad.dev/pentad/process"
)

func usage(t *testing.T, err error, parts ...string) {
	t.Helper()
	var u *process.UsageError
	if !errors.As(err, &u) {
		t.Fatalf("got %v, want a usage error", err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

func TestAnEstateThatCannotBeDrilledIsRefused(t *testing.T) {
	for name, wrong := range map[string]struct {
		estate string
		want   string
	}{
		"two centers": {`
trustDomain: p.test
regions: [{name: r, centers: [{name: a}]}, {name: s, centers: [{name: b}]}]
relays: 1
services: [{name: orders, instances: 2}]`, "needs 3 centers"},
		"one region": {`
trustDomain: p.test
regions: [{name: r, centers: [{name: a}, {name: b}, {name: c}]}]
relays: 1
services: [{name: orders, instances: 2}]`, "two regions"},
		"no majority without the first region": {`
trustDomain: p.test
regions: [{name: r, centers: [{name: a}, {name: b}]}, {name: s, centers: [{name: c}]}]
relays: 1
services: [{name: orders, instances: 2}]`, "regions[0]: r has 2 of 3 centers"},
		"one instance": {`
trustDomain: p.test
regions: [{name: r, centers: [{name: a}]}, {name: s, centers: [{name: b}, {name: c}]}]
relays: 1
services: [{name: orders, instances: 1}]`, "orders has 1 instance"},
		"no units": {`
trustDomain: p.test
regions: [{name: r, centers: [{name: a}]}, {name: s, centers: [{name: b}, {name: c}]}]
relays: 1
services: [{name: orders, instances: 2}]`, "estate: unitizations: story units moves units, and this estate has none"},
		"unknown service": {`
trustDomain: p.test
regions: [{name: r, centers: [{name: a}]}, {name: s, centers: [{name: b}, {name: c}]}]
relays: 1
services: [{name: order, instances: 2}]`, "services[0].name"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "estate.yaml")
			if err := os.WriteFile(path, []byte(wrong.estate), 0o644); err != nil {
				t.Fatal(err)
			}
			data := filepath.Join(t.TempDir(), "data")
			_, err := New(Config{Estate: path, Data: data, Out: io.Discard, Log: slog.New(slog.DiscardHandler)})
			usage(t, err, wrong.want)
			if _, err := os.Stat(data); !errors.Is(err, os.ErrNotExist) {
				t.Error("something was made")
			}
		})
	}
	_, err := New(Config{})
	usage(t, err, "data folder")
	_, err = New(Config{Data: "x", Plant: "tree"})
	usage(t, err, "tree", "removal")
}

func TestOnlyADrillsOwnFolderIsEmptied(t *testing.T) {
	mine := t.TempDir()
	keep := filepath.Join(mine, "thesis.txt")
	if err := os.WriteFile(keep, []byte("years of work"), 0o644); err != nil {
		t.Fatal(err)
	}
	usage(t, freshFolder(mine), mine, "no drill's")
	if _, err := os.Stat(keep); err != nil {
		t.Error(err)
	}

	drills := filepath.Join(t.TempDir(), "drill")
	for range 2 {
		if err := freshFolder(drills); err != nil {
			t.Fatal(err)
		}
		left := filepath.Join(estateFolder(drills), "left")
		if _, err := os.Stat(left); err == nil {
			t.Error("what the last drill left is still there")
		}
		if err := os.MkdirAll(left, 0o755); err != nil {
			t.Fatal(err)
		}
	}

	lock, err := os.Create(filepath.Join(estateFolder(drills), "LOCK"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	usage(t, freshFolder(drills), "in use by another drill")
	if _, err := os.Stat(filepath.Join(estateFolder(drills), "left")); err != nil {
		t.Error("the other drill's data were removed")
	}
}

func event(name string, state dev.State, at, done int) dev.Event {
	return dev.Event{
		Process: name,
		Role:    dev.RoleSample,
		Place:   process.Place{Center: "a"},
		State:   state,
		At:      recordAt(at),
		Done:    recordAt(done),
	}
}

func recordAt(ms int) record.Time { return at(ms) }

func TestTheBookTellsDeathsFromStopsAndThoseThatNobodyAskedFor(t *testing.T) {
	b := newBook()
	b.process(event("x", dev.StateRunning, 0, 1))
	b.ready("x")
	b.begin(1, "s", "w")
	b.process(event("x", dev.StateKilled, 10, 12))
	b.process(event("x", dev.StateRunning, 20, 21))
	b.process(event("x", dev.StateExited, 30, 30))
	b.process(event("x", dev.StateRunning, 40, 41))
	b.process(event("x", dev.StateStopped, 50, 52))
	h, in := b.close(at(60))
	if len(h.Lives) != 3 {
		t.Fatalf("%d lives", len(h.Lives))
	}
	killed, exited, stopped := h.Lives[0], h.Lives[1], h.Lives[2]
	if !killed.Killed || killed.Unasked || killed.Signal != at(10) || killed.End != at(12) || killed.Ready == 0 {
		t.Errorf("killed: %+v", killed)
	}
	if !exited.Killed || !exited.Unasked || exited.Signal != at(30).Add(-unaskedBefore) || exited.End != at(30) ||
		exited.Ready != 0 {
		t.Errorf("exited: %+v", exited)
	}
	if stopped.Killed || stopped.End != at(52) {
		t.Errorf("stopped: %+v", stopped)
	}
	var kinds []string
	for _, m := range in.Marks {
		kinds = append(kinds, m.Kind)
	}
	want := []string{report.MarkKill, report.MarkStart, report.MarkLost, report.MarkStart}
	if !slices.Equal(kinds, want) {
		t.Errorf("marks %s, want %s", kinds, want)
	}
}

func TestTheFirstWriteAfterADeathIsOneThatBeganAfterIt(t *testing.T) {
	b := newBook()
	b.wrote(oracle.Write{Begin: at(0), End: at(5), Acknowledged: true})
	b.wrote(oracle.Write{Begin: at(8), End: at(30), Acknowledged: true}) // under way at the kill
	b.wrote(oracle.Write{Begin: at(12), End: at(40)})                    // failed
	if got := b.firstWrite(at(10)); got != 0 {
		t.Errorf("got %d before there was one", got)
	}
	b.wrote(oracle.Write{Begin: at(20), End: at(50), Acknowledged: true})
	b.wrote(oracle.Write{Begin: at(60), End: at(61), Acknowledged: true})
	if got := b.firstWrite(at(10)); got != at(50) {
		t.Errorf("got %s after the kill, want 40ms", got.Sub(at(10)))
	}
}

func TestASummaryOfRequestsSinceATime(t *testing.T) {
	b := newBook()
	b.requested(
		[]record.Request{
			{Start: at(0), End: at(1)},
			{Start: at(5), End: at(9)},
			{Start: at(6), End: at(7)},
			{Start: at(20), End: at(21)},
		},
	)
	if got := len(b.since(at(5), at(20))); got != 2 {
		t.Errorf("%d requests, want 2", got)
	}
	if got := short(1500 * time.Millisecond); got != "1.5 s" {
		t.Error(got)
	}
}

func TestWhatIsNotMetWhileSomebodyElseEndsProcessesIsToldAndNotJudged(t *testing.T) {
	b := newBook()
	b.process(event("x", dev.StateRunning, 0, 1))
	b.begin(1, "first", "w")
	b.expect("before", false, "")
	b.process(event("x", dev.StateExited, 10, 10))
	b.expect("met all the same", true, "")
	b.expect("after", false, "why")
	b.begin(2, "second", "w")
	b.expect("in the next step", false, "")
	h, in := b.close(at(60))
	var judged []string
	for _, e := range h.Expectations {
		judged = append(judged, e.What)
	}
	if got := strings.Join(judged, ", "); got != "before, met all the same, in the next step" {
		t.Errorf("judged: %s", got)
	}
	if notes := in.Steps[0].Notes; len(notes) != 1 || !strings.Contains(notes[0], "after: why") {
		t.Errorf("notes %v", notes)
	}
}
