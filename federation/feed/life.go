package feed

import (
	"time"
)

// Stale says that this process has not yet seen the writer's own mark at or below the position that the log shows, as
// after a start from disk. A writer's log is never stale.
func (l *Log) Stale() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return !l.confirmed && l.role == copied
}

// Age is the time since the writer was last known alive: what each hop measured, added up; transit is not counted.
// False: never heard of.
func (l *Log) Age() (time.Duration, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.ageLocked()
}

func (l *Log) ageLocked() (time.Duration, bool) {
	if l.role != copied {
		return 0, true
	}
	if !l.heard {
		return 0, false
	}
	return max(l.opts.Now()-l.alive, 0), true
}

// life is what a hop tells of the writer.
type life struct {
	heard bool
	age   time.Duration
	// mark is the number of the writer's mark that age counts from; zero if each sender is a writer.
	mark Position
	// fresh: that mark passed the sender since the stream began.
	fresh bool
}

// hear takes in what a stream tells of the writer, once everything up to at is applied (rule 20).
func (l *Log) hear(at Position, v life) {
	if !v.heard {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.role != copied {
		return
	}
	if !l.heard || v.mark.IsZero() || l.known.Before(v.mark) {
		l.heard, l.alive, l.known = true, l.opts.Now()-v.age, v.mark
	}
	// A sender may know a later incarnation by now than the one whose mark it forwards.
	caughtUp := !l.pos.Before(at) && (v.mark.IsZero() || v.mark.Incarnation == l.pos.Incarnation)
	if !v.fresh || !caughtUp && !l.opts.broken.has(freshThoughBehind) {
		return
	}
	news := !l.confirmed || v.mark.IsZero() || l.mark.Before(v.mark)
	l.confirmed = true
	if l.mark.Before(v.mark) {
		l.mark = v.mark
	}
	if news {
		l.notify(pulsed)
	}
}

// tell is what a stream that has sent everything up to the log's position tells of the writer; last is the mark that
// it forwarded last. The lock is held.
func (l *Log) tell(last Position) life {
	switch l.role {
	case writing:
		return life{heard: true, fresh: true, mark: Position{Incarnation: l.pos.Incarnation, Seq: l.marks.Add(1)}}
	case following:
		return life{heard: true, fresh: true}
	default:
		v := life{heard: l.heard, mark: l.known}
		v.age, _ = l.ageLocked()
		if last.Before(l.mark) {
			v.fresh, v.mark = true, l.mark
		}
		return v
	}
}
