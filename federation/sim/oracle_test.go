package sim

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"io"
	"sync"
	"time"

	"pentad.dev/pentad/federation/consensus"
)

// oracle sees every message of leaders, every entry that is stored and every entry that is applied, and what clients
// are told.
type oracle struct {
	e  *estate
	mu sync.Mutex
	// leaders are who led in a term, entries what is at an (index, term), applied what was applied at an index.
	leaders map[uint64]string
	entries map[[2]uint64]said
	applied map[uint64]outcome
	done    map[string]done // by id
	counts  map[string]int
	feeds   *feeds
	turns   turns
	// violations are what was found; the first ends the run.
	violations []string
	found      chan struct{}
}

type said struct {
	sum uint64
	who string
}

// outcome is what became of one entry.
type outcome struct {
	command, result, state uint64 // state: 0 where nobody looked
	who                    string
}

func newOracle(e *estate) *oracle {
	o := &oracle{
		e: e, leaders: map[uint64]string{}, entries: map[[2]uint64]said{}, applied: map[uint64]outcome{}, done: map[string]done{},
		counts: map[string]int{}, found: make(chan struct{}),
	}
	o.feeds = newFeeds(o)
	o.turns.begin()
	return o
}

func (o *oracle) violated(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.violates(format, args...)
}

// violates is violated for holders of mu.
func (o *oracle) violates(format string, args ...any) {
	what := fmt.Sprintf("%.3fs: ", o.e.now().Seconds()) + fmt.Sprintf(format, args...)
	if o.violations = append(o.violations, what); len(o.violations) == 1 {
		close(o.found)
	}
}

// quiet says that nothing was found yet.
func (o *oracle) quiet() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.violations) == 0
}

func (o *oracle) count(what string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.counts[what]++
}

func sum(b []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(b)
	return h.Sum64()
}

// Leads implements consensus.Observer: one leader a term.
func (l *life) Leads(term uint64) {
	o := l.oracle
	o.mu.Lock()
	defer o.mu.Unlock()
	switch leader, known := o.leaders[term]; {
	case !known:
		o.leaders[term] = l.name
		o.counts["terms with a leader"]++
	case leader != l.name:
		o.violates("two leaders in term %d: %s and %s", term, leader, l.name)
	}
}

// Appended implements consensus.Observer: one entry an (index, term).
func (l *life) Appended(index, term uint64, data []byte) {
	o, s := l.oracle, sum(data)
	o.mu.Lock()
	defer o.mu.Unlock()
	at := [2]uint64{index, term}
	switch was, known := o.entries[at]; {
	case !known:
		o.entries[at] = said{s, l.name}
		o.counts["entries"]++
	case was.sum != s:
		o.violates("two entries at index %d of term %d: %s and %s", index, term, was.who, l.name)
	}
}

// watched is a server's state machine under the oracle's eyes.
type watched struct {
	consensus.StateMachine
	life *life
}

// stateEvery is how often the whole state is compared.
const stateEvery = 16

// Apply implements consensus.StateMachine.
func (w watched) Apply(index uint64, command []byte) []byte {
	if most := w.life.plant.slowApply; most > 0 {
		time.Sleep(time.Duration((index*7919 + uint64(w.life.name[0])*31) % uint64(most)))
	}
	result := w.StateMachine.Apply(index, command)
	is := outcome{command: sum(command), result: sum(result), who: w.life.name}
	if index%stateEvery == 0 {
		is.state = w.state()
	}
	o := w.life.oracle
	o.mu.Lock()
	defer o.mu.Unlock()
	was, known := o.applied[index]
	switch {
	case !known:
		o.applied[index] = is
		o.counts["commands"]++
		o.judges(index, command, is.result, w.StateMachine)
	case was.command != is.command:
		o.violates("%s and %s applied different commands at index %d", was.who, is.who, index)
	case was.result != is.result:
		o.violates("%s and %s answered the command at index %d differently", was.who, is.who, index)
	case was.state != is.state:
		o.violates("%s and %s have different states after index %d", was.who, is.who, index)
	}
	return result
}

func (w watched) state() uint64 {
	s, err := w.StateMachine.Snapshot()
	if err != nil {
		return 0
	}
	defer s.Release()
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil {
		return 0
	}
	return sum(b.Bytes())
}

// Restore implements consensus.StateMachine.
func (w watched) Restore(r io.Reader) error {
	if w.life.center.present() == w.life {
		w.life.oracle.count("snapshots installed")
	} else {
		w.life.oracle.count("starts from a snapshot")
	}
	return w.StateMachine.Restore(r)
}

// Snapshot implements consensus.StateMachine.
func (w watched) Snapshot() (consensus.Snapshot, error) {
	w.life.oracle.count("snapshots taken")
	return w.StateMachine.Snapshot()
}
