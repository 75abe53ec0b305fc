package permit

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// inWorlds lives through many worlds and returns the first broken promise.
func inWorlds(seeds uint64, hop breakage, bug simBug, see func(*world)) error {
	for seed := range seeds {
		w := newWorld(seed, hop, bug)
		if err := safely(func() error { return w.run(40 * time.Second) }); err != nil {
			return fmt.Errorf("seed %d: %w", seed, err)
		}
		if see != nil {
			see(w)
		}
	}
	return nil
}

func safely(run func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			b, ok := p.(broken)
			if !ok {
				panic(p)
			}
			err = b.error
		}
	}()
	return run()
}

// TestNoRightOutlivesTheLeadersOpinion: whatever is late, lost, paused, suspended, set or restarted, no guard accepts a
// write under a right that the leader takes for over, and no acknowledged freeze has a write in flight.
func TestNoRightOutlivesTheLeadersOpinion(t *testing.T) {
	seeds := uint64(800)
	if testing.Short() || raceEnabled {
		seeds = 100
	}
	var accepts, acked, waited, freezes, lapses int
	err := inWorlds(seeds, 0, noBug, func(w *world) {
		accepts, acked, waited = accepts+w.stats.accepts, acked+w.stats.acked, waited+w.stats.waited
		freezes, lapses = freezes+w.stats.freezes, lapses+w.stats.lapses
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d worlds: %d writes, %d freezes, of which %d acknowledged and %d waited out, %d writes outlived a permit",
		seeds, accepts, freezes, acked, waited, lapses)
	if n := int(seeds); accepts < 100*n || acked < n || waited < n/2 || lapses < n/10 {
		t.Error("the worlds are too quiet to show anything")
	}
}

// TestPlantedBugsAreFound breaks one rule after the other: a test that does not notice shows nothing.
func TestPlantedBugsAreFound(t *testing.T) {
	if raceEnabled {
		t.Skip("a world is one goroutine; the detector only makes it slow")
	}
	var table strings.Builder
	for _, b := range []struct {
		name string
		hop  breakage
		bug  simBug
	}{
		{"rule 1: a guard goes on when its permit has ended", 0, guardIgnoresEnd},
		{"rule 1: a hop grants its permit's whole length", brokenGrantsAll, 0},
		{"rule 2: counted from the answer", brokenCountFromAnswer, 0},
		{"rule 2: a clock that stops while suspended", brokenMonotonicOnly, 0},
		{"rule 3: a session that is not in the log", 0, serverUnregistered},
		{"rule 3: a closed session gets permits", 0, serverAnswersClosed},
		{"rule 3: closed sessions are not waited for", 0, leaderForgetsClosed},
		{"rule 3: removed as soon as closed", 0, leaderRemovesAtOnce},
		{"rule 5: the wait counts from the log's timestamp", 0, leaderLogTimestamp},
		{"rule 5: a shorter T counts at once", 0, leaderNewTOnly},
		{"rule 6: a relay acknowledges by position", brokenAcksByPosition, 0},
		{"rule 6: guards that moved away are forgotten", brokenForgetsMoved, 0},
		{"rule 6: a restarted relay acknowledges at once", brokenAcksAfterStart, 0},
		{"rule 6: a guard closes with writes in flight", 0, guardNoDrain},
		{"rule 6: a guard goes back in since", 0, guardGoesBack},
		{"a hop takes others' permits for ended by its wall clock", brokenWaitsByWall, 0},
		{"a server answers from before the ask", 0, serverStaleRead},
	} {
		t.Run(b.name, func(t *testing.T) {
			err := inWorlds(3000, b.hop, b.bug, nil)
			if err == nil {
				t.Fatal("not found")
			}
			fmt.Fprintf(&table, "%-60s %.140s\n", b.name, err)
		})
	}
	t.Logf("planted bugs and what found them\n%s", table.String())
}
