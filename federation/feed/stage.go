package feed

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"pentad.dev/pentad/federation/feed/feedpb"
)

// frame stages a frame; the last of a batch commits it.
func (r *receiver) frame(in *incoming, f *feedpb.Frame) {
	in.frames++
	in.heard = r.now()
	r.count.frames.Inc()
	r.acknowledge(in)
	if r.tamper != nil && r.tamper(r, in, f) {
		return
	}
	switch err := r.stage(in, f); {
	case errors.Is(err, errTooMuch):
		r.decline(in, err)
		return
	case err != nil:
		r.refuse(in, feedpb.Reason_REASON_MALFORMED, err)
		return
	}
	if f.GetCommit() {
		r.commit(in, f)
	}
}

// errTooMuch is why a feed is not taken whose batch would need more memory than may be staged.
var errTooMuch = errors.New("too much to be staged")

// stage checks a frame and keeps it until its batch is whole.
func (r *receiver) stage(in *incoming, f *feedpb.Frame) error {
	head := batch{
		from: positionOf(f.GetFrom()), to: positionOf(f.GetTo()), floor: positionOf(f.GetFloor()), reset: f.GetReset_(),
	}
	s := in.staged
	if s == nil {
		if head.to.IsZero() || !head.from.Before(head.to) && !(head.reset && in.again) {
			return fmt.Errorf("%w: batch from %s to %s", errMalformed, head.from, head.to)
		}
		s = &head
		s.asked, s.filter = in.again, in.filter
		in.staged = s
	} else if s.from != head.from || s.to != head.to || s.floor != head.floor || s.reset != head.reset {
		return fmt.Errorf("%w: frame from %s to %s in a batch from %s to %s", errMalformed, head.from, head.to, s.from, s.to)
	}
	s.nodes = slices.Grow(s.nodes, len(f.GetRecords()))
	for _, pr := range f.GetRecords() {
		n, err := nodeOf(pr)
		if err != nil {
			return err
		}
		after := Position{}
		if len(s.nodes) > 0 {
			after = s.nodes[len(s.nodes)-1].At
		}
		switch {
		case n.At.Before(after) || s.to.Before(n.At) || !s.reset && !s.from.Before(n.At):
			return fmt.Errorf("%w: %s %q at %s, after %s, in a batch from %s to %s",
				errMalformed, n.Kind, n.Key, n.At, after, s.from, s.to)
		case !in.filter.Matches(n.Kind, n.Key):
			return fmt.Errorf("%w: %s %q is not of filter %s", errMalformed, n.Kind, n.Key, in.filter)
		}
		s.nodes = append(s.nodes, n)
		size := recordBytes(&n.Record)
		s.bytes, r.staged = s.bytes+size, r.staged+size
	}
	if most := r.set.opts.MaxStaged; r.staged > most {
		return fmt.Errorf("%w: batch from %s to %s: more than %d bytes on this stream", errTooMuch, s.from, s.to, most)
	}
	return nil
}

// unstage lets go of what is staged of a feed.
func (r *receiver) unstage(in *incoming) {
	if in.staged != nil {
		r.staged -= in.staged.bytes
		in.staged = nil
	}
}

// keep takes in which buckets the batch says that this receiver keeps (rule 15).
func (r *receiver) keep(in *incoming, s *batch, f *feedpb.Frame) error {
	theirs := in.digests
	if !r.broken.has(digestsServeLater) {
		in.digests = nil
	}
	if len(f.GetKept()) == 0 {
		return nil
	}
	if theirs == nil || !s.reset {
		return fmt.Errorf("%w: batch from %s to %s keeps what was not offered", errMalformed, s.from, s.to)
	}
	var err error
	if s.kept, err = digestsFrom(f.GetKept(), uint32(len(theirs))); err != nil {
		return err
	}
	named := make(map[[2]string]bool, len(s.nodes))
	for _, n := range s.nodes {
		name := [2]string{n.Kind, n.Key}
		if n.Value == nil || s.kept[n.bucket(len(s.kept))] != 0 || named[name] {
			return fmt.Errorf("%w: %s %q at %s: twice, deleted, or of a bucket that is kept", errMalformed, n.Kind, n.Key, n.At)
		}
		named[name] = true
	}
	return nil
}

// commit judges the staged batch against what is held now (rule 9).
func (r *receiver) commit(in *incoming, f *feedpb.Frame) {
	s := in.staged
	r.unstage(in)
	err := r.keep(in, s, f)
	if n := len(f.GetLabel()); n > maxLabel {
		err = fmt.Errorf("%w: label of %d bytes, at most %d", errMalformed, n, maxLabel)
	}
	if err != nil {
		r.refuse(in, feedpb.Reason_REASON_MALFORMED, err)
		return
	}
	s.sealed, s.seal, s.label, s.fromWriter = f.GetSealed(), Seal(f.GetSeal()), f.GetLabel(), r.fromWriter
	if r.refuses != nil {
		if err := r.refuses(in.id, s.to); err != nil {
			r.decline(in, err)
			return
		}
	}
	before := in.log.Position()
	v := in.log.apply(s)
	r.count.batches.WithLabelValues(v.String()).Inc()
	switch v {
	case applied:
		in.again = in.again && !s.reset
		if !s.asked {
			in.refusals = 0
		}
		r.validate(in, s, before)
	case dropped:
	case refusedSeal:
		in.again = true
		r.refuse(in, feedpb.Reason_REASON_SEAL, fmt.Errorf("content at %s differs from the sender's", s.to))
		return
	case refusedFilter:
		r.refuse(in, feedpb.Reason_REASON_FILTER, fmt.Errorf("filter %s, the copy holds %s", in.filter, in.log.Filter()))
		return
	case refusedRemoved:
		r.vanished(in)
		return
	case refusedWriter:
		r.decline(in, fmt.Errorf("feed %s is written here", in.id))
		return
	default:
		r.refuse(in, feedpb.Reason_REASON_REFUSED,
			fmt.Errorf("batch from %s to %s, held %s", s.from, s.to, in.log.Position()))
		return
	}
	in.theirs = s.to
	in.log.hear(s.to, lifeOf(f.GetLife()))
	r.acknowledge(in)
}

// validate reports the records of a commit that this process cannot use (rule 17).
func (r *receiver) validate(in *incoming, s *batch, before Position) {
	if r.validator == nil {
		return
	}
	const most = 16
	for _, n := range s.nodes {
		if n.Value == nil || !s.reset && !before.Before(n.At) {
			continue
		}
		err := r.validator(in.id, &n.Record)
		if err == nil {
			continue
		}
		in.rejected++
		r.count.rejected.Inc()
		if r.report != nil {
			r.report(in.id, "record rejected", fmt.Errorf("%s %q at %s: %w", n.Kind, n.Key, n.At, err))
		}
		if len(in.reports) < most {
			in.reports = append(in.reports, &feedpb.Rejection{
				Kind: n.Kind, Key: n.Key, At: positionProto(n.At), Reason: reasonOf(err),
			})
		}
	}
}

// vanished gives up a feed whose copy was removed; if it is to be had again it is opened as if it were new.
func (r *receiver) vanished(in *incoming) {
	r.shut(in.id)
	r.turnDown(in.id, errRemovedHere)
	r.lost = append(r.lost, in.id)
}

// errRemovedHere is why a feed is not taken that was removed while it was open.
var errRemovedHere = errors.New("the copy was removed")

// removed says that a feed was given up because its copy was removed. It locks.
func (r *receiver) removed(id ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.removedLocked(id)
}

func (r *receiver) removedLocked(id ID) bool {
	in := r.feeds[id]
	return in != nil && in.absent == errRemovedHere.Error()
}

// decline ends a feed for good on this stream.
func (r *receiver) decline(in *incoming, err error) {
	if r.report != nil {
		r.report(in.id, "feed declined", err)
	}
	r.leave(in, feedpb.Reason_REASON_DONE, reasonOf(err))
	r.turnDown(in.id, err)
	r.lost = append(r.lost, in.id)
}

func (r *receiver) progress(in *incoming, p *feedpb.Progress) {
	at := positionOf(p.GetPosition())
	in.theirs, in.heard = at, r.now()
	if p.GetSealed() && in.staged == nil && !in.log.verify(at, in.filter, Seal(p.GetSeal()), r.fromWriter) {
		in.again = true
		r.refuse(in, feedpb.Reason_REASON_SEAL, fmt.Errorf("content at %s differs from the sender's", at))
		return
	}
	if held := in.log.Position(); in.staged == nil && held.Before(at) && in.log.ended.Before(at) {
		// The sender has sent everything up to at: a batch was lost.
		r.refuse(in, feedpb.Reason_REASON_REFUSED, fmt.Errorf("sender stands at %s, held %s", at, held))
		return
	}
	in.refusals = 0
	in.log.hear(at, lifeOf(p.GetLife()))
}

// closed takes in that the sender ended a sub-stream.
func (r *receiver) closed(in *incoming, c *feedpb.Closed) {
	r.forget(in)
	switch c.GetReason() {
	case feedpb.Reason_REASON_REPAIRED:
		in.again = true
		r.retry(in)
	default:
		in.absent = cmp.Or(c.GetDetail(), reasonLabel(c.GetReason()))
		r.lost = append(r.lost, in.id)
	}
}

// turnDown tells the sender that a feed is not taken, once for each reason; false: it was told.
func (r *receiver) turnDown(id ID, err error) bool {
	in := r.feeds[id]
	if in == nil {
		in = &incoming{id: id}
		r.feeds[id] = in
	}
	if in.absent == err.Error() {
		return false
	}
	in.absent = err.Error()
	r.out = append(r.out, &feedpb.ReceiverMessage{Message: &feedpb.ReceiverMessage_Refused{
		Refused: &feedpb.Refused{Feed: string(in.id), Reason: reasonOf(err)},
	}})
	return true
}
