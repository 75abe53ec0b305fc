package feed

import "time"

// batch is a batch as a receiver judges it: the frames that were staged, with what the commit frame adds.
type batch struct {
	from, to, floor Position
	reset           bool
	nodes           []*node
	// asked: this receiver asked for the reset on this stream, for a wider filter or after a broken seal.
	asked  bool
	filter Filter
	// sealed says that seal is the sender's digest at to.
	sealed bool
	seal   Seal
	// kept are the buckets that a reset leaves as they are, with the sender's digests; nil: none (rule 15).
	kept digests
	// bytes is about what the records take.
	bytes int
	// label is what the sender of a reset holds its copy for.
	label string
	// fromWriter: the batch came on the writer's own stream.
	fromWriter bool
}

// verdict is how a batch was judged at its commit (rule 9).
type verdict uint8

const (
	applied        verdict = iota
	dropped                // not newer than what is held
	refusedGap             // a delta that begins after what is held
	refusedSeal            // the content would differ from the sender's
	refusedKept            // a bucket that it keeps is not as it says
	refusedFilter          // of another filter than the copy's
	refusedWriter          // into the writer's own log
	refusedRemoved         // into a log that was removed
)

func (v verdict) String() string {
	return [...]string{"applied", "dropped", "gap", "seal", "kept", "filter", "writer", "removed"}[v]
}

// apply judges b against what is held now and, if it is good, applies it in one step (rules 8 and 9).
func (l *Log) apply(b *batch) verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.judge(b)
	if v == applied {
		l.take(b)
	}
	return v
}

// take makes a batch that was judged good what the log shows. The lock is held.
func (l *Log) take(b *batch) {
	now := l.opts.Now()
	asked := b.reset && b.asked
	if b.reset {
		l.filter = b.filter
		if !l.opts.broken.has(labelNotTaken) {
			l.label = b.label
		}
		if !l.opts.broken.has(floorNotTaken) {
			l.floor = b.floor // rule 13
		}
	}
	if b.kept != nil {
		l.table.retain(b.keeps)
		l.table.merge(b.nodes, now)
		if !l.opts.broken.has(keptFloorNotRaised) {
			l.floor = b.to // the deletions of what was kept are unknown
		}
	} else {
		l.put(b, now)
	}
	if asked {
		// Positions do not show what a repair changed: readers in between get the whole set, those at to start again.
		l.floor = b.to
		l.generation++
	}
	l.advance(b.to)
}

// put makes a batch that keeps no bucket part of the table, or all of it.
func (l *Log) put(b *batch, now time.Duration) {
	if b.reset {
		l.table = newTable()
	}
	for _, n := range b.nodes {
		if b.reset && n.Value == nil && l.opts.broken.has(floorNotTaken) {
			continue
		}
		if b.reset || l.pos.Before(n.At) || l.opts.broken.has(olderApplied) {
			l.table.put(n, now)
		}
	}
}

func (l *Log) judge(b *batch) verdict {
	broken := l.opts.broken
	switch {
	case l.removed:
		return refusedRemoved
	case l.role != copied:
		return refusedWriter
	case l.pos.IsZero() && !l.ended.Before(b.to) && !l.ended.IsZero():
		return dropped // what was removed does not come back
	}
	asked := b.reset && b.asked
	if !asked && !l.pos.IsZero() && !b.filter.Equal(l.filter) && !broken.has(filterNotCompared) {
		return refusedFilter // rule 16
	}
	switch c := b.to.Compare(l.pos); {
	case broken.has(olderApplied):
	case c < 0 && asked:
		return refusedGap
	case c == 0 && (!asked || broken.has(wideningDropped)):
		if b.sealed && b.seal != l.table.seal && l.trusts(b.fromWriter) {
			return refusedSeal
		}
		return dropped
	case c < 0:
		return dropped
	}
	if !b.reset && l.pos.Before(b.from) && !broken.has(gapApplied) {
		return refusedGap
	}
	var kept Seal
	if b.kept != nil {
		var same bool
		if kept, same = l.sameKept(b); !same {
			return refusedKept
		}
	}
	if b.sealed && l.trusts(b.fromWriter) && kept+l.sealAfter(b) != b.seal {
		return refusedSeal // rule 19
	}
	return applied
}

// sealAfter is the seal that the log would have with b applied, beside what b keeps.
func (l *Log) sealAfter(b *batch) Seal {
	var seal Seal
	if !b.reset {
		seal = l.table.seal
	}
	for _, n := range b.nodes {
		if !b.reset {
			if !l.pos.Before(n.At) {
				continue
			}
			if old := l.table.get(n.Kind, n.Key); old != nil {
				seal -= old.mix()
			}
		}
		seal += n.mix()
	}
	return seal
}

// verify compares a heartbeat's seal with the copy's (rule 19): false means that they differ at the same position.
func (l *Log) verify(at Position, filter Filter, seal Seal, fromWriter bool) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.role != copied || l.pos != at || !l.filter.Equal(filter) || l.table.seal == seal || !l.trusts(fromWriter)
}

// trusts says whether a seal counts: where the writer is connected, only the writer's, lest copies of what is wrong
// undo each repair.
func (l *Log) trusts(fromWriter bool) bool {
	return (fromWriter || l.homes == 0) && !l.opts.broken.has(sealNotCompared)
}
