package feed

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"pentad.dev/pentad/federation/feed/feedpb"
)

// receiver is the receiving half of one stream: pure state, driven by open, shut, handle and next, all called under one
// lock. What is staged here lives and dies with the stream (rule 8).
type receiver struct {
	mu        sync.Mutex // the shells'; the methods leave it alone
	set       *Set
	inbox     *inbox
	broken    breakage
	tamper    tamper
	now       func() time.Duration
	jitter    func() float64 // 0 to 1
	validator Validator
	// refuses says why a feed is not taken at a position (rule 5, and what the sender may not write); nil: all are taken.
	refuses func(ID, Position) error
	// fromWriter says that this is the writer's own stream: it keeps to the filter of the copy that is there, and its seals
	// are right where others differ.
	fromWriter bool
	// report hears of what an operator should know; may be nil.
	report func(ID, string, error)
	count  *counters

	last  uint64 // sub-stream number
	subs  map[uint64]*incoming
	feeds map[ID]*incoming
	out   []*feedpb.ReceiverMessage
	acks  []*incoming
	// waiting are the feeds that are opened again later.
	waiting []*incoming
	// lost are the feeds that the sender does not give, since the shell last looked.
	lost []ID
}

// incoming is the receiver's side of one feed on one stream, over the sub-streams that it takes.
type incoming struct {
	id     ID
	log    *Log
	filter Filter
	// stream is the present sub-stream; 0 while the feed waits to be opened again.
	stream uint64
	// again: the present sub-stream asked for a reset, which is not applied yet.
	again  bool
	staged *batch
	frames uint64 // taken
	// theirs is how far the sender's frames and heartbeats came, and heard when the last came.
	theirs Position
	heard  time.Duration
	// stated is the highest that was stated (rule 4).
	stated   Position
	acking   bool
	rejected uint64
	reports  []*feedpb.Rejection
	// refusals counts refused batches since the last good one; waits is when to open again.
	refusals int
	waits    time.Duration
	// absent is why the sender does not give the feed.
	absent string
}

func newReceiver(set *Set, in *inbox) *receiver {
	return &receiver{
		set: set, inbox: in, broken: set.opts.broken, tamper: set.opts.tamper, now: set.opts.Now, jitter: rand.Float64,
		count: newCounters(nil),
		subs:  map[uint64]*incoming{}, feeds: map[ID]*incoming{},
	}
}

// open wants a feed, or the part of it that filter names; if it is open with another filter it is opened anew.
func (r *receiver) open(id ID, filter Filter) {
	in := r.feeds[id]
	switch {
	case in == nil || in.log == nil:
		in = &incoming{id: id, log: r.set.LogFiltered(id, filter), filter: filter}
		r.feeds[id] = in
	case in.absent == "" && (r.fromWriter || in.filter.Equal(filter)):
		return
	default:
		r.leave(in, feedpb.Reason_REASON_DONE, "")
		in.filter, in.absent = filter, ""
	}
	r.enter(in)
}

// shut gives a feed up.
func (r *receiver) shut(id ID) {
	if in := r.feeds[id]; in != nil {
		r.leave(in, feedpb.Reason_REASON_DONE, "")
		in.waits = 0
		delete(r.feeds, id)
	}
}

// enter opens a sub-stream with the present position (rules 10 and 11).
func (r *receiver) enter(in *incoming) {
	if r.fromWriter {
		in.filter = in.log.Filter()
	}
	in.log.mu.RLock()
	held, highest, same := in.log.pos, in.log.highestLocked(), in.log.filter.Equal(in.filter)
	in.log.mu.RUnlock()
	if r.broken.has(highestNotPassed) {
		highest = held
	}
	in.again = in.again || !same && !held.IsZero() // rule 16: as from zero
	r.last++
	in.stream, in.frames, in.stated, in.waits = r.last, 0, highest, 0
	in.staged = nil
	r.subs[in.stream] = in
	r.out = append(r.out, &feedpb.ReceiverMessage{Message: &feedpb.ReceiverMessage_Open{Open: &feedpb.Open{
		Stream: in.stream, Feed: string(in.id), Filter: filterProto(in.filter), Held: positionProto(held),
		Highest: positionProto(highest), Again: in.again,
	}}})
}

// leave closes the present sub-stream.
func (r *receiver) leave(in *incoming, reason feedpb.Reason, detail string) {
	if in.stream == 0 {
		return
	}
	r.out = append(r.out, &feedpb.ReceiverMessage{Message: &feedpb.ReceiverMessage_Close{Close: &feedpb.Closed{
		Stream: in.stream, Reason: reason, Detail: detail,
	}}})
	r.forget(in)
}

func (r *receiver) forget(in *incoming) {
	delete(r.subs, in.stream)
	in.stream = 0
	in.staged = nil
}

// refuse closes the sub-stream and opens it again with the present position (rule 10).
func (r *receiver) refuse(in *incoming, reason feedpb.Reason, err error) {
	r.count.refused.WithLabelValues(reasonLabel(reason)).Inc()
	if r.report != nil {
		r.report(in.id, "feed batch refused", err)
	}
	if r.broken.has(refusalKeepsStream) {
		in.staged = nil
		return
	}
	r.leave(in, reason, err.Error())
	r.retry(in)
}

// retry opens a feed again: at once at first, then later and later, with jitter, so that two copies that repair
// themselves from each other do not only swap.
func (r *receiver) retry(in *incoming) {
	in.refusals++
	if in.refusals <= 2 {
		r.enter(in)
		return
	}
	pause := min(10*time.Millisecond<<min(in.refusals, 10), 2*time.Second)
	in.waits = r.now() + pause/2 + time.Duration(r.jitter()*float64(pause))
	r.waiting = append(r.waiting, in)
}

// handle takes in a message of the sender and returns what it announces. An error ends the stream.
func (r *receiver) handle(m *feedpb.SenderMessage) ([]*feedpb.Announcement, error) {
	switch m := m.GetMessage().(type) {
	case *feedpb.SenderMessage_Announcements:
		for _, a := range m.Announcements.GetAnnouncements() {
			if a.GetFeed() == "" {
				return nil, fmt.Errorf("%w: announcement: feed: is empty", errMalformed)
			}
		}
		return m.Announcements.GetAnnouncements(), nil
	case *feedpb.SenderMessage_Frame:
		if in := r.subs[m.Frame.GetStream()]; in != nil {
			r.frame(in, m.Frame)
		}
	case *feedpb.SenderMessage_Progresses:
		for _, p := range m.Progresses.GetProgresses() {
			if in := r.subs[p.GetStream()]; in != nil {
				r.progress(in, p)
			}
		}
	case *feedpb.SenderMessage_Closed:
		if in := r.subs[m.Closed.GetStream()]; in != nil {
			r.closed(in, m.Closed)
		}
	}
	return nil, nil
}

// frame stages a frame; the last of a batch commits it.
func (r *receiver) frame(in *incoming, f *feedpb.Frame) {
	in.frames++
	in.heard = r.now()
	r.count.frames.Inc()
	r.acknowledge(in)
	if r.tamper != nil && r.tamper(r, in, f) {
		return
	}
	if err := in.stage(f); err != nil {
		r.refuse(in, feedpb.Reason_REASON_MALFORMED, err)
		return
	}
	if f.GetCommit() {
		r.commit(in, f)
	}
}

func (in *incoming) stage(f *feedpb.Frame) error {
	head := batch{from: positionOf(f.GetFrom()), to: positionOf(f.GetTo()), floor: positionOf(f.GetFloor()), reset: f.GetReset_()}
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
			return fmt.Errorf("%w: %s %q at %s, after %s, in a batch from %s to %s", errMalformed, n.Kind, n.Key, n.At, after, s.from, s.to)
		case !in.filter.Matches(n.Kind, n.Key):
			return fmt.Errorf("%w: %s %q is not of filter %s", errMalformed, n.Kind, n.Key, in.filter)
		}
		s.nodes = append(s.nodes, n)
	}
	return nil
}

// commit judges the staged batch against what is held now (rule 9).
func (r *receiver) commit(in *incoming, f *feedpb.Frame) {
	s := in.staged
	in.staged = nil
	s.sealed, s.seal, s.fromWriter = f.GetSealed(), Seal(f.GetSeal()), r.fromWriter
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
	case refusedWriter:
		r.decline(in, fmt.Errorf("feed %s is written here", in.id))
		return
	default:
		r.refuse(in, feedpb.Reason_REASON_REFUSED, fmt.Errorf("batch from %s to %s, held %s", s.from, s.to, in.log.Position()))
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
			in.reports = append(in.reports, &feedpb.Rejection{Kind: n.Kind, Key: n.Key, At: positionProto(n.At), Reason: err.Error()})
		}
	}
}

// decline ends a feed for good on this stream.
func (r *receiver) decline(in *incoming, err error) {
	if r.report != nil {
		r.report(in.id, "feed declined", err)
	}
	r.leave(in, feedpb.Reason_REASON_DONE, err.Error())
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
	if held := in.log.Position(); in.staged == nil && held.Before(at) {
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

func (r *receiver) acknowledge(in *incoming) {
	if !in.acking {
		in.acking = true
		r.acks = append(r.acks, in)
	}
}

// next returns what to send now, one message at a time, or nil.
func (r *receiver) next() *feedpb.ReceiverMessage {
	r.inbox.take(func(id ID, _ event) {
		in := r.feeds[id]
		if in != nil && in.stream != 0 && in.stated.Before(in.log.Highest()) && !r.broken.has(highestNotPassed) {
			r.acknowledge(in)
		}
	})
	if len(r.out) > 0 {
		m := r.out[0]
		r.out = r.out[1:]
		return m
	}
	for len(r.acks) > 0 {
		in := r.acks[0]
		r.acks = r.acks[1:]
		in.acking = false
		if in.stream != 0 {
			return r.ack(in)
		}
	}
	return nil
}

func (r *receiver) ack(in *incoming) *feedpb.ReceiverMessage {
	in.log.mu.RLock()
	held, highest := in.log.pos, in.log.highestLocked()
	in.log.mu.RUnlock()
	if r.broken.has(highestNotPassed) {
		highest = held
	}
	in.stated = highest
	a := &feedpb.Ack{
		Stream: in.stream, Held: positionProto(held), Highest: positionProto(highest), Frames: in.frames,
		Rejections: in.reports, Rejected: in.rejected,
	}
	in.reports = nil
	return &feedpb.ReceiverMessage{Message: &feedpb.ReceiverMessage_Ack{Ack: a}}
}

// turnDown tells the sender that a feed is not taken, once for each reason.
func (r *receiver) turnDown(id ID, err error) {
	in := r.feeds[id]
	if in == nil {
		in = &incoming{id: id}
		r.feeds[id] = in
	}
	if in.absent == err.Error() {
		return
	}
	in.absent = err.Error()
	r.out = append(r.out, &feedpb.ReceiverMessage{Message: &feedpb.ReceiverMessage_Refused{
		Refused: &feedpb.Refused{Feed: string(in.id), Reason: err.Error()},
	}})
}

// beat gives a sign of life.
func (r *receiver) beat() {
	if len(r.out) == 0 && len(r.acks) == 0 {
		r.out = append(r.out, &feedpb.ReceiverMessage{})
	}
}

// tick opens again what waited long enough and says how long until the next of these; 0: none waits.
func (r *receiver) tick() time.Duration {
	var next time.Duration
	waiting := r.waiting
	r.waiting = nil
	for _, in := range waiting {
		left := in.waits - r.now()
		switch {
		case in.waits == 0: // opened, or given up
		case left <= 0:
			r.enter(in)
		default:
			r.waiting = append(r.waiting, in)
			if next == 0 || left < next {
				next = left
			}
		}
	}
	return next
}

func reasonLabel(reason feedpb.Reason) string {
	return [...]string{"unspecified", "done", "refused", "seal", "filter", "absent", "repaired", "malformed"}[min(max(int(reason), 0), 7)]
}
