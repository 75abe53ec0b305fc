package intent

import (
	"bytes"
	"fmt"
	"testing"

	"pentad.dev/pentad/unitization/switchover"
)

// twins are two replicas of one log. The second is now and then rebuilt from a snapshot: of its own, or, after it
// missed entries, of the first's.
type twins struct {
	config Config
	*traffic
	first, second *FSM
	index         uint64
	// lag is how many entries more the second misses before it gets a snapshot.
	lag     int
	answers map[string][]byte
	// accepted counts the first's; phases those that switchovers entered, unless it is nil.
	accepted int
	phases   map[switchover.Phase]int
	readers  [2]*feedReader
	ledger   *ledger
}

func newTwins(seed uint64, config Config) *twins {
	w := &twins{config: config, traffic: newTraffic(seed), first: mustNew(config), second: mustNew(config),
		answers: map[string][]byte{}, ledger: newLedger()}
	w.readers = [2]*feedReader{newFeedReader(w.first.Feed()), newFeedReader(w.second.Feed())}
	return w
}

// run applies commands, and returns the first contradiction.
func (w *twins) run(steps int) error {
	for range steps {
		if err := w.step(); err != nil {
			return fmt.Errorf("entry %d: %w", w.index, err)
		}
	}
	if err := w.catchUp(); err != nil {
		return err
	}
	return w.compare()
}

func (w *twins) step() error {
	w.index += uint64(1 + w.rnd.IntN(2)) // entries that are no commands lie between
	before := w.first.View()
	command, again := w.one(before)
	result := w.first.Apply(w.index, command)
	if err := w.judge(before, command, result, again); err != nil {
		return err
	}
	switch {
	case w.lag > 1:
		w.lag--
		return nil
	case w.lag == 1 || chance(w.rnd, 40):
		if err := w.catchUp(); err != nil {
			return err
		}
	default:
		if got := w.second.Apply(w.index, command); !bytes.Equal(got, result) {
			return fmt.Errorf("the replicas answer %x and %x", result, got)
		}
		if chance(w.rnd, 60) {
			w.lag = 1 + w.rnd.IntN(10)
			return nil
		}
	}
	for i, f := range []*FSM{w.first, w.second} {
		if chance(w.rnd, 6) {
			if err := coherent(f); err != nil {
				return err
			}
		}
		if chance(w.rnd, 3) {
			w.readers[i].read(w.rnd.IntN(3))
		}
	}
	if chance(w.rnd, 10) {
		return w.compare()
	}
	return nil
}

// catchUp gives the second a snapshot of the first, in place or in a new process.
func (w *twins) catchUp() error {
	w.lag = 0
	if chance(w.rnd, 2) {
		w.second = mustNew(w.config)
		w.readers[1] = newFeedReader(w.second.Feed())
	}
	return w.second.Restore(bytes.NewReader(save(w.first)))
}

// compare demands that the replicas are the same to the byte, whatever their past, and that readers see it.
func (w *twins) compare() error {
	if w.lag > 0 {
		return nil
	}
	if a, b := save(w.first), save(w.second); !bytes.Equal(a, b) {
		return fmt.Errorf("snapshots differ: %d and %d bytes", len(a), len(b))
	}
	if a, b := save(w.first), save(w.first); !bytes.Equal(a, b) {
		return fmt.Errorf("two snapshots of one state differ")
	}
	if a, b := w.first.Revision(), w.second.Revision(); a != b {
		return fmt.Errorf("revisions are %d and %d", a, b)
	}
	if a, b := w.first.Feed().Digest(), w.second.Feed().Digest(); a != b {
		return fmt.Errorf("feeds have digests %v and %v", a, b)
	}
	for i, f := range []*FSM{w.first, w.second} {
		if err := w.readers[i].same(f.Feed()); err != nil {
			return fmt.Errorf("replica %d: %w", i+1, err)
		}
	}
	return nil
}

func TestTwinsStayEqual(t *testing.T) {
	for seed := range uint64(16) {
		config := Config{History: 8}
		if seed%3 == 0 {
			config.answers = limits{count: 30, bytes: 1 << 20}
		}
		w := newTwins(seed, config)
		if err := w.run(300); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if w.accepted < 50 {
			t.Errorf("seed %d: only %d of 300 commands were accepted: the test shows little", seed, w.accepted)
		}
	}
}

func TestTwinsWithUnitsStayEqual(t *testing.T) {
	phases := map[switchover.Phase]int{}
	for seed := range uint64(8) {
		w := newTwins(seed, Config{History: 8})
		w.units, w.phases = true, phases
		if err := w.run(500); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	for p := switchover.PhasePlanned; p <= switchover.PhaseSuperseded; p++ {
		if p != switchover.PhasePromoted && phases[p] == 0 { // never stayed in
			t.Errorf("phase %s was entered %d times: the test shows little", p, phases[p])
		}
	}
	t.Logf("phases entered: %v", phases)
}
