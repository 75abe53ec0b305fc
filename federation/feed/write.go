package feed

import (
	"fmt"
	"unicode/utf8"
)

// Begin takes the feed over under a new incarnation with one commit that holds the whole set (rule 2): what whole does
// not name is gone, every reader gets a reset. The incarnation comes from NextIncarnation and must be above everything
// that was heard; ErrPosition otherwise. Call it only with a source that has answered in full (rule 3). The log takes
// the values over.
func (l *Log) Begin(incarnation uint64, whole []Change) (Position, error) {
	nodes, err := l.nodes(whole, Position{Incarnation: incarnation, Seq: 1})
	if err != nil {
		return Position{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.removed {
		return Position{}, fmt.Errorf("feed %s: begin: %w", l.id, ErrRemoved)
	}
	if h := l.highestLocked(); incarnation <= h.Incarnation {
		return l.pos, fmt.Errorf("feed %s: begin incarnation %d: %w: heard of %s", l.id, incarnation, ErrPosition, h)
	}
	l.role = writing
	l.replace(nodes, Position{Incarnation: incarnation, Seq: 1}, Position{Incarnation: incarnation})
	return l.pos, nil
}

// Commit writes changes as one step: the sequence grows by one. A change that is equal to what is there is dropped,
// and with no change left there is no commit; of several changes of one key the last counts. The log takes the values
// over. ErrNotWriter before Begin.
func (l *Log) Commit(changes ...Change) (Position, error) {
	if err := l.check(changes); err != nil {
		return Position{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.role != writing {
		return l.pos, fmt.Errorf("feed %s: commit: %w", l.id, ErrNotWriter)
	}
	to := Position{Incarnation: l.pos.Incarnation, Seq: l.pos.Seq + 1}
	if l.write(to, changes) > 0 {
		l.advance(to)
	}
	return l.pos, nil
}

// CommitAt writes changes as one step that ends at to, a later sequence of the same incarnation; without changes it
// is progress only. It is how the intent's feed is written, whose sequence is the revision: rule 4 does not hold for
// it. The first call on an empty log begins the incarnation.
func (l *Log) CommitAt(to Position, changes ...Change) error {
	if err := l.check(changes); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pos.IsZero() {
		l.floor = Position{Incarnation: to.Incarnation}
	} else if to.Incarnation != l.pos.Incarnation || to.Seq <= l.pos.Seq {
		return fmt.Errorf("feed %s: commit at %s: %w: at %s", l.id, to, ErrPosition, l.pos)
	}
	l.role = following
	l.write(to, changes)
	l.advance(to)
	return nil
}

// Restart makes whole the state at to, of which nothing older is known, as after a Raft snapshot: the floor is to
// (rule 6), and every reader in the process starts again, whatever its position. The log takes the values over.
func (l *Log) Restart(to Position, whole []Change) error {
	nodes, err := l.nodes(whole, to)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.role = following
	l.generation++
	l.replace(nodes, to, to)
	return nil
}

// Resign ends the writing, as after the loss of a leader lease: later commits fail with ErrNotWriter, and the log is
// one more copy.
func (l *Log) Resign() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.role != copied {
		l.role, l.heard, l.alive, l.confirmed = copied, true, l.opts.Now(), true
		l.notify(homed)
	}
}

// write puts the changes that are none at to and says how many were.
func (l *Log) write(to Position, changes []Change) int {
	now, written := l.opts.Now(), 0
	for _, c := range changes {
		old := l.table.get(c.Kind, c.Key)
		if c.Value == nil && (old == nil || old.Value == nil) {
			continue
		}
		hash := hashValue(c.Value)
		if old != nil && old.Value != nil && c.Value != nil && old.Hash == hash && string(old.Value) == string(c.Value) {
			continue
		}
		l.table.put(&node{Record: Record{Kind: c.Kind, Key: c.Key, Value: c.Value, At: to, Hash: hash}}, now)
		written++
	}
	return written
}

// advance ends a step at to.
func (l *Log) advance(to Position) {
	l.pos = to
	l.forget()
	l.notify(moved)
}

// forget drops old tombstones and raises the floor.
func (l *Log) forget() {
	if floor := l.table.forget(l.opts.Tombstones, l.opts.Now()); l.floor.Before(floor) {
		l.floor = floor
	}
}

// replace makes nodes the whole content.
func (l *Log) replace(nodes []*node, to, floor Position) {
	now := l.opts.Now()
	l.table = newTable()
	for _, n := range nodes {
		l.table.put(n, now)
	}
	l.floor = floor
	l.advance(to)
}

func (l *Log) nodes(whole []Change, at Position) ([]*node, error) {
	if err := l.check(whole); err != nil {
		return nil, err
	}
	nodes := make([]*node, 0, len(whole))
	for _, c := range whole {
		if c.Value == nil {
			return nil, fmt.Errorf("feed %s: whole set: %s %q: a deletion", l.id, c.Kind, c.Key)
		}
		nodes = append(nodes, &node{Record: Record{
			Kind: c.Kind, Key: c.Key, Value: c.Value, At: at, Hash: hashValue(c.Value),
		}})
	}
	return nodes, nil
}

func (l *Log) check(changes []Change) error {
	for _, c := range changes {
		if !utf8.ValidString(c.Kind) || !utf8.ValidString(c.Key) {
			return fmt.Errorf("feed %s: %q %q: %w", l.id, c.Kind, c.Key[:min(len(c.Key), 64)], ErrNotText)
		}
		if len(c.Value) > MaxValue || len(c.Kind)+len(c.Key) > maxName {
			return fmt.Errorf("feed %s: %s %q: %w: value of %d bytes, at most %d",
				l.id, c.Kind, c.Key[:min(len(c.Key), 64)], ErrTooLarge, len(c.Value), MaxValue)
		}
	}
	return nil
}

// maxName bounds kind and key together, in bytes.
const maxName = 4096

// published says whether this process writes the log as the one writer of its feed.
func (l *Log) published() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.role == writing
}

// ahead is the highest position that was heard of if it is above what this process writes (rule 4), else zero.
func (l *Log) ahead() Position {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.role == writing && l.pos.Before(l.highest) {
		return l.highest
	}
	return Position{}
}
