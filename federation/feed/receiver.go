package feed

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"pentad.dev/pentad/federation/feed/feedpb"
)

// receiver is the receiving half of one stream: pure state, driven by open, shut, handle and next, all called under
// one lock. What is staged here lives and dies with the stream (rule 8).
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
	// fromWriter says that this is the writer's own stream: it keeps to the filter of the copy that is there, and its
	// seals are right where others differ.
	fromWriter bool
	// report hears of what an operator should know; may be nil.
	report func(ID, string, error)
	count  *counters

	last  uint64 // sub-stream number
	subs  map[uint64]*incoming
	feeds map[ID]*incoming
	// staged is about how many bytes of records are staged, of all feeds.
	staged int
	out    []*feedpb.ReceiverMessage
	acks   []*incoming
	// waiting are the feeds that are opened again later.
	waiting []*incoming
	// lost are the feeds that the sender does not give, since the shell last looked.
	lost []ID
	// opens is how many messages of out open a sub-stream.
	opens int
	// over: the stream has ended. A message that was being handled meanwhile opens nothing any more.
	over bool
}

// incoming is the receiver's side of one feed on one stream, over the sub-streams that it takes.
type incoming struct {
	id     ID
	log    *Log
	filter Filter
	// stream is the present sub-stream; 0 while the feed waits to be opened again.
	stream uint64
	// digests are those that the present sub-stream was opened with, as long as they count (rule 15).
	digests digests
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
	case r.over:
		return
	case in == nil || in.log == nil || in.log.Removed():
		r.shut(id)
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
		if in.log != nil {
			in.log.detach(r.inbox)
		}
	}
}

// end lets go of all logs, when the stream is over.
func (r *receiver) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	for _, in := range r.feeds {
		if in.log != nil {
			in.log.detach(r.inbox)
		}
	}
}

// enter opens a sub-stream with the present position (rules 10 and 11).
func (r *receiver) enter(in *incoming) {
	if r.over {
		return
	}
	in.log.attach(r.inbox) // before it looks at the log: what changes afterwards is heard of
	if in.log.Removed() {
		r.inbox.observe(in.log, moved)
	}
	if r.fromWriter {
		in.filter = in.log.Filter()
	}
	in.log.mu.RLock()
	held, highest, same := in.log.pos, in.log.highestLocked(), in.log.filter.Equal(in.filter)
	records := in.log.listed(!held.IsZero())
	in.log.mu.RUnlock()
	if r.broken.has(highestNotPassed) {
		highest = held
	}
	in.again = in.again || !same && !held.IsZero() // rule 16: as from zero
	r.last++
	in.stream, in.frames, in.stated, in.waits = r.last, 0, highest, 0
	r.unstage(in)
	r.subs[in.stream] = in
	in.digests = nil
	if len(records) > 0 {
		in.digests = digestsOf(records, in.filter, bucketsFor(len(records), r.set.opts.bucketRecords), r.broken)
	}
	r.opens++
	r.out = append(r.out, &feedpb.ReceiverMessage{Message: &feedpb.ReceiverMessage_Open{Open: &feedpb.Open{
		Stream: in.stream, Feed: string(in.id), Filter: filterProto(in.filter), Held: positionProto(held),
		Highest: positionProto(highest), Again: in.again, Digests: in.digests.proto(), Buckets: uint32(len(in.digests)),
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
	in.stream, in.digests = 0, nil
	r.unstage(in)
}

// refuse closes the sub-stream and opens it again with the present position (rule 10).
func (r *receiver) refuse(in *incoming, reason feedpb.Reason, err error) {
	r.count.refused.WithLabelValues(reasonLabel(reason)).Inc()
	if r.report != nil {
		r.report(in.id, "feed batch refused", err)
	}
	if r.broken.has(refusalKeepsStream) {
		r.unstage(in)
		return
	}
	r.leave(in, reason, reasonOf(err))
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

// Bounds of what waits to be sent on one stream, so that a peer that asks and does not read is left rather than kept in
// memory. What a good peer makes wait is a few messages a feed.
const (
	mostWaiting = 100_000
	mostOpens   = 4096
	// mostFeeds is how many feeds a writer may publish on one stream.
	mostFeeds = 10_000
)

// handle takes in a message of the sender and returns what it announces. An error ends the stream.
func (r *receiver) handle(m *feedpb.SenderMessage) ([]*feedpb.Announcement, error) {
	as := m.GetAnnouncements().GetAnnouncements()
	switch {
	case len(r.out) > mostWaiting || r.opens > mostOpens+8*len(r.feeds):
		return nil, fmt.Errorf("%w: %d answers to it wait to be sent", errMalformed, len(r.out))
	case r.fromWriter && len(r.feeds)+r.unknown(as) > mostFeeds:
		return nil, fmt.Errorf("%w: announcements: more than %d feeds on one stream", errMalformed, mostFeeds)
	}
	switch m := m.GetMessage().(type) {
	case *feedpb.SenderMessage_Announcements:
		for _, a := range as {
			if a.GetFeed() == "" {
				return nil, fmt.Errorf("%w: announcement: feed: is empty", errMalformed)
			}
		}
		return as, nil
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

// unknown is how many feeds are announced for the first time.
func (r *receiver) unknown(as []*feedpb.Announcement) (n int) {
	for _, a := range as {
		if r.feeds[ID(a.GetFeed())] == nil {
			n++
		}
	}
	return n
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
	labels := [...]string{"unspecified", "done", "refused", "seal", "filter", "absent", "repaired", "malformed"}
	if reason < 0 || int(reason) >= len(labels) {
		return labels[0]
	}
	return labels[reason]
}
