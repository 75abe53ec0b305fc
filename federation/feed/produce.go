package feed

import "pentad.dev/pentad/federation/feed/feedpb"

// produce makes what a sub-stream has to say next: the next frame of its batch, a heartbeat that forwards the writer's
// mark, or nothing, for now or until there is room for it.
func (s *sender) produce(o *outgoing) (*feedpb.Frame, *feedpb.Progress) {
	if o.closed || o.sent >= o.taken+s.set.opts.windowFrames {
		return nil, nil // an ack queues it again
	}
	if o.batch != nil || s.batch(o) {
		return s.frame(o), nil
	}
	if o.closed {
		return nil, nil
	}
	return nil, s.progress(o, false)
}

// batch makes the next batch of a sub-stream, if there is one.
func (s *sender) batch(o *outgoing) bool {
	if !s.fix(o) {
		return false
	}
	b := o.batch
	if b.Reset && !b.sealed { // of part of the log: the batch has all of it
		for _, r := range b.Records {
			b.seal += r.mix()
		}
		b.sealed = true
	}
	if b.Reset && o.digests != nil {
		b.keep(o.digests, s.broken)
	}
	if !s.broken.has(digestsServeLater) {
		o.digests = nil
	}
	return true
}

// fix takes the next batch of a sub-stream under the log's lock, with what goes with it at that instant.
func (s *sender) fix(o *outgoing) bool {
	l := o.log
	l.mu.RLock()
	defer l.mu.RUnlock()
	if !l.filter.Covers(o.filter) && !s.broken.has(servesWider) {
		s.close(o.stream, feedpb.Reason_REASON_FILTER, "this copy holds "+l.filter.String())
		return false
	}
	sealed := o.filter.Equal(l.filter)
	if o.generation != l.generation {
		o.generation = l.generation
		switch {
		case o.again || o.cursor != l.pos:
		case sealed:
			o.verify = true // by the seal: only a reader that differs asks again
		default:
			s.close(o.stream, feedpb.Reason_REASON_REPAIRED, "")
			return false
		}
	}
	floor := l.floor
	if s.broken.has(floorAtOpenOnly) {
		floor = o.floor
	}
	b, ok := l.since(o.cursor, floor, o.filter, o.again)
	if !ok {
		return false
	}
	o.batch = &outBatch{Batch: b, sealed: sealed, label: l.label, life: l.tell(o.mark)}
	if sealed {
		o.batch.seal = l.table.seal
	}
	if o.batch.life.fresh && l.role == copied {
		o.mark = o.batch.life.mark
	}
	if s.broken.has(positionFromRecords) && len(b.Records) > 0 {
		o.batch.To = b.Records[len(b.Records)-1].At
	}
	return true
}

// frame cuts the next frame of the batch.
func (s *sender) frame(o *outgoing) *feedpb.Frame {
	b := o.batch
	f := &feedpb.Frame{
		Stream: o.stream, From: positionProto(b.From), To: positionProto(b.To), Floor: positionProto(b.Floor),
		Reset_: b.Reset,
	}
	limit := s.set.opts.frameBytes
	for size := 0; b.next < len(b.Records) && (size == 0 || size+recordBytes(b.Records[b.next]) <= limit); b.next++ {
		r := b.Records[b.next]
		size += recordBytes(r)
		if s.broken.has(walkWithoutLock) && o.log.changed(r) {
			continue
		}
		f.Records = append(f.Records, recordProto(r))
	}
	o.sent++
	if b.next < len(b.Records) {
		return f
	}
	f.Commit, f.Sealed, f.Seal, f.Life = true, b.sealed, uint64(b.seal), lifeProto(b.life)
	f.Kept = b.kept.proto()
	if b.Reset {
		f.Label = b.label
	}
	o.cursor, o.again, o.batch = b.To, false, nil
	if s.broken.has(senderRemembers) {
		s.remembers[o.log.id] = o.cursor
	}
	return f
}

// progress makes a heartbeat: at a tick for a sub-stream that was silent since the last one, and whenever there is a
// mark of the writer to forward or a repair to be noticed. Nil while there is something newer to send.
func (s *sender) progress(o *outgoing, tick bool) *feedpb.Progress {
	l := o.log
	l.mu.RLock()
	defer l.mu.RUnlock()
	if o.batch != nil || o.again || l.pos.IsZero() || o.cursor.Before(l.pos) {
		return nil
	}
	forward := l.role == copied && o.mark.Before(l.mark)
	if !forward && !o.verify && (!tick || o.spoke) {
		return nil
	}
	o.verify = false
	p := &feedpb.Progress{Stream: o.stream, Position: positionProto(l.pos)}
	if o.filter.Equal(l.filter) {
		p.Sealed, p.Seal = true, uint64(l.table.seal)
	} else if !o.due && !s.broken.has(filteredNotSealed) && o.proven != (version{l.pos, l.generation}) {
		o.due = true
		s.unsealed = append(s.unsealed, o)
	}
	v := l.tell(o.mark)
	if forward {
		o.mark = v.mark
	}
	p.Life = lifeProto(v)
	return p
}

// scansATick bounds how many records a stream looks at in a heartbeat for the seals of filtered sub-streams, on average:
// each large scan is paid for by the ticks after it.
const scansATick = 1000

// proof makes a heartbeat with the seal of what a filtered sub-stream holds (rule 19): once for each position at which
// it rests. The other sub-streams have the log's own seal in each heartbeat.
func (s *sender) proof(o *outgoing) *feedpb.Progress {
	l := o.log
	l.mu.RLock()
	at, rests := version{l.pos, l.generation}, !o.closed && o.batch == nil && !o.again && o.cursor == l.pos
	records := l.listed(rests)
	life := l.tell(l.mark)
	l.mu.RUnlock()
	if !rests {
		return nil
	}
	s.scans -= len(records)
	var seal Seal
	for _, r := range records {
		if o.filter.Matches(r.Kind, r.Key) {
			seal += r.mix()
		}
	}
	o.proven = at
	return &feedpb.Progress{
		Stream: o.stream, Position: positionProto(at.position), Sealed: true, Seal: uint64(seal), Life: lifeProto(life),
	}
}
