package feed

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Errors of a writer's calls; match them with errors.Is.
var (
	// ErrNotWriter is returned by a commit into a log that has not begun an incarnation in this process, or has resigned.
	ErrNotWriter = errors.New("not the feed's writer")
	// ErrPosition is returned when a writer would go back, or reuse an incarnation.
	ErrPosition = errors.New("position not above what is known")
	// ErrTooLarge is returned for a value above MaxValue.
	ErrTooLarge = errors.New("record too large")
	// ErrNotText is returned for a kind or key that no message can carry: it would end each stream that it comes to.
	ErrNotText = errors.New("must be UTF-8")
)

// MaxValue is the largest value that a record may have, in bytes.
const MaxValue = 1 << 20

// Log is a feed as one process holds it: the writer's own or a copy. It keeps the latest change of each key, ordered
// by last change, and its readers' wake-ups. All methods may be called from any goroutine; none blocks.
type Log struct {
	id   ID
	opts Options

	mu     sync.RWMutex
	filter Filter
	table  *table
	pos    Position
	floor  Position
	// highest is the highest position that anybody stated (rule 4).
	highest Position
	// generation counts the repairs: changes of content that positions do not show, so every reader starts again.
	generation uint64
	role       role
	// confirmed: the writer's mark was seen by this process (rule 20).
	confirmed bool
	// heard says that the writer was ever known alive, alive when that was last, and known by which of its marks: an age
	// counts only with a later mark, so that no two copies keep a dead writer young between them.
	heard bool
	alive time.Duration
	known Position
	// mark is the last of the writer's marks that passed here. Streams forward those that pass while they are open, never
	// the one that they find.
	mark Position
	// marks numbers the marks that this process made as the writer.
	marks atomic.Uint64
	// homes counts the writer's own streams into this log.
	homes int
	// removed: the log is in its set no more. ended is up to where an earlier log of this feed was removed.
	removed bool
	ended   Position
	// label is what the owner holds the copy for.
	label string

	cursors []*Cursor
	// copiers are the inboxes of the receiving halves that copy into this log.
	copiers []*inbox
	// observer hears of every change, under mu; it must not call back.
	observer func(*Log, event)
}

// role says who writes a log.
type role uint8

const (
	copied    role = iota // from frames
	writing               // Begin and Commit
	following             // CommitAt and Restart: the intent, which each server writes for itself
)

// event is what an observer is told.
type event uint8

const (
	moved    event = 1 << iota // position or content
	pulsed                     // the writer's mark passed
	raised                     // highest grew
	homed                      // the writer's own stream came or went
	labelled                   // the owner holds it for something else
)

// NewLog returns an empty log of unknown position.
func NewLog(id ID, filter Filter, o Options) *Log {
	return &Log{id: id, opts: o.withDefaults(), filter: filter, table: newTable()}
}

// ID is the feed's name.
func (l *Log) ID() ID { return l.id }

// Filter is what part of the feed the log holds.
func (l *Log) Filter() Filter {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.filter
}

// Position is the place in the feed whose state the log shows.
func (l *Log) Position() Position {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.pos
}

// Floor is the At of the newest dropped tombstone: a reader before it needs a reset.
func (l *Log) Floor() Position {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.floor
}

// Highest is the greater of the log's own position and what its readers stated (rule 4).
func (l *Log) Highest() Position {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.highestLocked()
}

func (l *Log) highestLocked() Position {
	if l.highest.Before(l.pos) {
		return l.pos
	}
	return l.highest
}

// Get returns a live record.
func (l *Log) Get(kind, key string) (*Record, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if n := l.table.get(kind, key); n != nil && n.Value != nil {
		return &n.Record, true
	}
	return nil, false
}

// All yields the live records in the order of their last change: one consistent picture, taken when the iteration
// starts.
func (l *Log) All() iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		records, _ := l.picture()
		for _, r := range records {
			if !yield(r) {
				return
			}
		}
	}
}

// Picture returns the live records in the order of their last change and the position that they are the state of.
func (l *Log) Picture() ([]*Record, Position) { return l.picture() }

// listed is the live records, if they are wanted. The lock is held.
func (l *Log) listed(wanted bool) []*Record {
	if !wanted {
		return nil
	}
	records := make([]*Record, 0, l.table.live)
	for n := l.table.root.next; n != &l.table.root; n = n.next {
		if n.Value != nil {
			records = append(records, &n.Record)
		}
	}
	return records
}

func (l *Log) picture() ([]*Record, Position) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.listed(true), l.pos
}

// Len is the number of live records.
func (l *Log) Len() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.table.live
}

// Digest is the seal of the live records.
func (l *Log) Digest() Seal {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.table.seal
}

// Writing says whether this process is the feed's writer.
func (l *Log) Writing() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.role != copied
}

// Home says whether the writer is connected here: this process, or one that publishes to it now.
func (l *Log) Home() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.homeLocked()
}

func (l *Log) homeLocked() bool { return l.role != copied || l.homes > 0 }

// Status is a log's state for operators.
type Status struct {
	Position   Position
	Floor      Position
	Digest     Seal
	Records    int
	Tombstones int
	Stale      bool
	Home       bool
	Age        time.Duration
	// Heard says whether Age means anything.
	Heard bool
}

// Status is one consistent picture of the log's state.
func (l *Log) Status() Status {
	l.mu.RLock()
	defer l.mu.RUnlock()
	age, heard := l.ageLocked()
	return Status{
		Position: l.pos, Floor: l.floor, Digest: l.table.seal, Records: l.table.live, Tombstones: l.table.dead.count,
		Stale: !l.confirmed && l.role == copied, Home: l.homeLocked(), Age: age, Heard: heard,
	}
}

func (l *Log) String() string { return fmt.Sprintf("%s@%s", l.id, l.Position()) }

// notify wakes the log's readers. The lock is held, so a reader that looks after it was woken sees the change.
func (l *Log) notify(e event) {
	if e&moved != 0 {
		for _, c := range l.cursors {
			c.signal()
		}
	}
	for _, in := range l.copiers {
		in.observe(l, e)
	}
	if l.observer != nil {
		l.observer(l, e)
	}
}

// attach makes an inbox hear of this log.
func (l *Log) attach(in *inbox) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.copiers, in) {
		l.copiers = append(l.copiers, in)
	}
}

func (l *Log) detach(in *inbox) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.copiers, in); i >= 0 {
		l.copiers = slices.Delete(l.copiers, i, i+1)
	}
}

// state raises highest to what a reader stated (rule 4).
func (l *Log) state(highest Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.highestLocked().Before(highest) {
		l.highest = highest
		l.notify(raised)
	}
}

// home notes that the writer's own stream came (+1) or went (-1).
func (l *Log) home(d int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.homes += d
	l.notify(homed)
}
