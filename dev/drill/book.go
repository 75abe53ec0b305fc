package drill

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"pentad.dev/pentad/dev"
	"pentad.dev/pentad/dev/drill/oracle"
	"pentad.dev/pentad/dev/drill/report"
	"pentad.dev/pentad/dev/sample/record"
)

// unaskedBefore is how long before its collection a process may have died that nobody here killed.
const unaskedBefore = 200 * time.Millisecond

// book is what the drill writes down while it goes on. It is safe for concurrent use.
type book struct {
	mu            sync.Mutex
	history       oracle.History
	alive         map[string]int // by process: its life's place in history.Lives
	unasked       int
	marks         []report.Event
	spans         []report.Span
	detections    []time.Duration
	quietStarts   bool // starts make no marks while everything starts
	currentStep   string
	unaskedBefore int // the current step
	lastUnasked   string
	unitHistory   oracle.UnitHistory
}

func newBook() *book { return &book{alive: map[string]int{}, quietStarts: true} }

// process takes an event of the supervisor.
func (b *book) process(e dev.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	mark := func(kind, text string) {
		b.marks = append(b.marks, report.Event{At: e.At, Kind: kind, Center: e.Center, Text: text})
	}
	if e.State == dev.StateRunning {
		b.alive[e.Process] = len(b.history.Lives)
		b.history.Lives = append(
			b.history.Lives,
			oracle.Life{Process: e.Process, Role: string(e.Role), Center: e.Center, Start: e.Done},
		)
		if !b.quietStarts {
			mark(report.MarkStart, e.Process+" started")
		}
		return
	}
	i, there := b.alive[e.Process]
	if !there {
		return
	}
	delete(b.alive, e.Process)
	life := &b.history.Lives[i]
	life.Signal, life.End = e.At, e.Done
	switch e.State {
	case dev.StateKilled:
		life.Killed = true
		mark(report.MarkKill, e.Process+" killed")
	case dev.StateExited:
		life.Killed, life.Unasked, life.Signal = true, true, e.Done.Add(-unaskedBefore)
		b.unasked++
		b.lastUnasked = e.Process + " (" + e.Detail + ")"
		mark(report.MarkLost, e.Process+" ended, the drill did not ask it to: "+e.Detail)
	}
}

// ready notes that these processes serve.
func (b *book) ready(names ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := record.Now()
	for _, name := range names {
		if i, there := b.alive[name]; there && b.history.Lives[i].Ready == 0 {
			b.history.Lives[i].Ready = at
		}
	}
}

func (b *book) register(r oracle.Registration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.history.Registrations = append(b.history.Registrations, r)
}

func (b *book) wrote(w oracle.Write) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.history.Writes = append(b.history.Writes, w)
}

// firstWrite is when the first write was acknowledged that began after at, zero if none was yet.
func (b *book) firstWrite(at record.Time) record.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	first := record.Time(0)
	for _, w := range slices.Backward(b.history.Writes) {
		if w.End < at {
			break // writes are noted when they end
		}
		if w.Acknowledged && w.Begin >= at && (first == 0 || w.End < first) {
			first = w.End
		}
	}
	return first
}

func (b *book) election(e oracle.Election) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.history.Elections = append(b.history.Elections, e)
	if e.Leader != 0 {
		b.marks = append(b.marks, report.Event{At: e.Leader, Kind: report.MarkLeader, Text: e.New + " leads after " + e.Old})
	}
}

func (b *book) mark(kind, center, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.marks = append(b.marks, report.Event{At: record.Now(), Kind: kind, Center: center, Text: text})
}

// lastMarks are the newest events.
func (b *book) lastMarks(n int) []report.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.marks[max(0, len(b.marks)-n):])
}

// begin opens a step and closes the one before.
func (b *book) begin(number int, name, what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.quietStarts = false
	now := record.Now()
	b.closeStep(now)
	b.currentStep, b.unaskedBefore = name, b.unasked
	b.spans = append(b.spans, report.Span{Number: number, Name: name, What: what, From: now})
}

func (b *book) closeStep(now record.Time) {
	if n := len(b.spans); n > 0 && b.spans[n-1].To == 0 {
		b.spans[n-1].To = now
	}
}

func (b *book) step() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.currentStep
}

// note adds a line to the current step.
func (b *book) note(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.spans); n > 0 {
		b.spans[n-1].Notes = append(b.spans[n-1].Notes, text)
	}
}

// expect notes what the current step expects. What is not met while somebody else ends processes is not held against
// the estate, but told; the promises are judged in any case.
func (b *book) expect(what string, met bool, detail string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.spans); !met && n > 0 && b.unasked > b.unaskedBefore {
		b.spans[n-1].Notes = append(
			b.spans[n-1].Notes,
			fmt.Sprintf("not judged, since somebody ended %s: %s: %s", b.lastUnasked, what, detail),
		)
		return
	}
	b.history.Expectations = append(
		b.history.Expectations,
		oracle.Expectation{Step: b.currentStep, What: what, Met: met, Detail: detail},
	)
}

// requested adds requests that ended.
func (b *book) requested(requests []record.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.history.Requests = append(b.history.Requests, requests...)
}

// since returns the requests that began in [from, to); they are noted roughly in order of their end.
func (b *book) since(from, to record.Time) []record.Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []record.Request
	for _, r := range slices.Backward(b.history.Requests) {
		if r.End < from.Add(-10*time.Second) {
			break
		}
		if r.Start >= from && r.Start < to {
			found = append(found, r)
		}
	}
	return found
}

// end closes the last step.
func (b *book) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closeStep(record.Now())
}

// hold notes what the holders hold at the end.
func (b *book) hold(holders []oracle.Holder) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.history.Holders = holders
}

// final notes what the servers show at the end.
func (b *book) final(finals map[string]map[string]oracle.Object) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.history.Finals = finals
}

// owned notes a version of an ownership map.
func (b *book) owned(m oracle.OwnershipMap) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unitHistory.Maps = append(b.unitHistory.Maps, m)
}

func (b *book) switchedOver(s oracle.Switchover) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unitHistory.Switchovers = append(b.unitHistory.Switchovers, s)
}

// units is what was noted of units.
func (b *book) units() *oracle.UnitHistory {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := b.unitHistory
	return &u
}

// close returns everything, for a drill that has ended; ends of processes after that time are nobody's death.
func (b *book) close(ended record.Time) (oracle.History, report.Input) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closeStep(ended)
	var marks []report.Event
	for _, m := range b.marks {
		if m.At <= ended {
			marks = append(marks, m)
		}
	}
	return b.history, report.Input{Steps: b.spans, Marks: marks, Detections: b.detections}
}
