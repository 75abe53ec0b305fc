package feed

import (
	"errors"
	"fmt"
	"slices"

	"pentad.dev/pentad/federation/feed/feedpb"
)

// errMalformed is the error of a message that breaks the protocol.
var errMalformed = errors.New("malformed message")

// sender is the sending half of one stream: pure state, driven by handle, tick and next, all called under one lock. It
// remembers nothing of readers between streams (rule 11).
type sender struct {
	set    *Set
	inbox  *inbox
	broken breakage
	// offers says whether the reader may have the feed.
	offers func(*Log) bool
	// plausible says whether a position that a reader states can be true (rule 5); nil: all can.
	plausible func(Position) bool
	// acked hears of acknowledgements; may be nil.
	acked func(ID, *feedpb.Ack)
	// refused hears of feeds that the receiver does not take; may be nil.
	refused func(ID, string)

	subs      map[uint64]*outgoing
	feeds     map[ID]*offered
	ready     []*outgoing // round robin: each sends one frame at a time
	control   []*feedpb.SenderMessage
	announce  []ID            // to be announced now
	remembers map[ID]Position // for a broken rule only
	// unsealed are the filtered sub-streams whose seal is due, and scans how many records may be looked at for one.
	unsealed []*outgoing
	scans    int
}

// outgoing is a sub-stream.
type outgoing struct {
	stream     uint64
	log        *Log
	filter     Filter
	cursor     Position
	again      bool    // the reader asked for the whole set
	digests    digests // what the reader has, for the first batch (rule 15)
	generation uint64
	// mark is the last of the writer's marks that was forwarded, at first the one that was there (rule 20).
	mark   Position
	batch  *outBatch
	verify bool    // a heartbeat is due: the content was repaired
	proven version // of a filtered sub-stream: the state whose seal was sent last
	due    bool    // in unsealed
	sent   uint64  // frames
	taken  uint64  // frames that the receiver has taken
	queued bool
	spoke  bool // since the last tick
	closed bool
	floor  Position // at open; for a broken rule only
}

// outBatch is a fixed batch (rule 7) of which a part is sent.
type outBatch struct {
	Batch
	sealed bool
	seal   Seal
	kept   digests
	label  string
	life   life
	next   int
}

func newSender(set *Set, in *inbox, offers func(*Log) bool) *sender {
	s := &sender{
		set: set, inbox: in, broken: set.opts.broken, offers: offers,
		subs: map[uint64]*outgoing{}, feeds: map[ID]*offered{}, remembers: map[ID]Position{},
	}
	for _, id := range set.IDs() {
		s.look(id, homed)
	}
	return s
}

// handle takes in a message of the receiver. An error ends the stream.
func (s *sender) handle(m *feedpb.ReceiverMessage) error {
	if n := len(s.control); n > mostWaiting {
		return fmt.Errorf("%w: %d answers to it wait to be sent", errMalformed, n)
	}
	switch m := m.GetMessage().(type) {
	case *feedpb.ReceiverMessage_Open:
		return s.open(m.Open)
	case *feedpb.ReceiverMessage_Ack:
		return s.ack(m.Ack)
	case *feedpb.ReceiverMessage_Close:
		if o := s.subs[m.Close.GetStream()]; o != nil {
			s.drop(o)
		}
	case *feedpb.ReceiverMessage_Refused:
		if s.refused != nil && s.feeds[ID(m.Refused.GetFeed())] != nil {
			s.refused(ID(m.Refused.GetFeed()), m.Refused.GetReason())
		}
	}
	return nil
}

func (s *sender) open(m *feedpb.Open) error {
	id, stream := ID(m.GetFeed()), m.GetStream()
	if s.subs[stream] != nil {
		return fmt.Errorf("%w: open feed %s: sub-stream %d is open", errMalformed, id, stream)
	}
	theirs, err := digestsFrom(m.GetDigests(), m.GetBuckets())
	if err != nil {
		return fmt.Errorf("open feed %s: %w", id, err)
	}
	l, ok := s.set.Get(id)
	if !ok || !s.offers(l) {
		s.close(stream, feedpb.Reason_REASON_ABSENT, "")
		return nil
	}
	s.superseded(id, l)
	f := s.feed(id, l)
	if len(f.subs) > 0 {
		return fmt.Errorf("%w: open feed %s: it is open as sub-stream %d", errMalformed, id, f.subs[0].stream)
	}
	o := &outgoing{
		stream: stream, log: l, filter: filterOf(m.GetFilter()), cursor: positionOf(m.GetHeld()), again: m.GetAgain(),
		digests: theirs,
	}
	l.mu.RLock()
	o.mark, o.generation, o.floor = l.mark, l.generation, l.floor
	l.mu.RUnlock()
	if s.broken.has(freshCached) {
		o.mark = Position{}
	}
	if p, ok := s.remembers[id]; ok && s.broken.has(senderRemembers) {
		o.cursor = p
	}
	s.subs[stream] = o
	f.subs = append(f.subs, o)
	s.state(l, o.cursor, positionOf(m.GetHighest()))
	if s.acked != nil {
		s.acked(id, &feedpb.Ack{Held: m.GetHeld(), Highest: m.GetHighest()})
	}
	s.queue(o)
	return nil
}

func (s *sender) ack(m *feedpb.Ack) error {
	o := s.subs[m.GetStream()]
	if o == nil {
		return nil // of a sub-stream that was closed meanwhile
	}
	if m.GetFrames() > o.sent {
		return fmt.Errorf("%w: ack of frame %d, sent %d", errMalformed, m.GetFrames(), o.sent)
	}
	o.taken = max(o.taken, m.GetFrames())
	if !s.broken.has(highestAtOpenOnly) {
		s.state(o.log, positionOf(m.GetHeld()), positionOf(m.GetHighest()))
	}
	if s.acked != nil {
		s.acked(o.log.id, m)
	}
	s.queue(o)
	return nil
}

// state passes on what a reader states (rule 4).
func (s *sender) state(l *Log, held, highest Position) {
	if highest.Before(held) {
		highest = held
	}
	if s.plausible == nil || l.id == IntentID || s.plausible(highest) {
		l.state(highest)
	}
}

// tick sends signs of life: a heartbeat of each sub-stream that was silent since the last tick, of each of the
// writer's own, and the announcements that could wait. Call it once a heartbeat.
func (s *sender) tick() {
	for id, f := range s.feeds {
		if f.due && !f.queued {
			f.queued = true
			s.announce = append(s.announce, id)
		}
	}
	slices.Sort(s.announce)
	s.scans = min(s.scans+scansATick, scansATick)
	var beats []*feedpb.Progress
	for _, o := range s.sorted() {
		if p := s.progress(o, true); p != nil {
			beats = append(beats, p)
		}
		o.spoke = false
	}
	for s.scans > 0 && len(s.unsealed) > 0 {
		o := s.unsealed[0]
		s.unsealed, o.due = s.unsealed[1:], false
		if p := s.proof(o); p != nil {
			beats = append(beats, p)
		}
	}
	s.control = append(s.control, progressesOf(beats)...)
	if len(s.control) == 0 {
		s.control = append(s.control, &feedpb.SenderMessage{})
	}
}

// sorted makes the order of heartbeats repeatable.
func (s *sender) sorted() []*outgoing {
	subs := make([]*outgoing, 0, len(s.subs))
	for _, o := range s.subs {
		subs = append(subs, o)
	}
	slices.SortFunc(subs, func(a, b *outgoing) int { return int(a.stream) - int(b.stream) })
	return subs
}

// next returns what to send now, one message at a time, or nil.
func (s *sender) next() *feedpb.SenderMessage {
	s.inbox.take(s.look)
	if len(s.control) > 0 {
		m := s.control[0]
		s.control = s.control[1:]
		return m
	}
	if len(s.announce) > 0 {
		return s.announcements()
	}
	return s.data()
}

// data returns the next frame, or what the writers' marks that passed make of heartbeats, as one message.
func (s *sender) data() *feedpb.SenderMessage {
	var beats []*feedpb.Progress
	for len(s.ready) > 0 && len(beats) < mostBeats {
		o := s.ready[0]
		s.ready[0] = nil
		s.ready = s.ready[1:]
		o.queued = false
		f, p := s.produce(o)
		o.spoke = o.spoke || f != nil || p != nil
		if p != nil {
			beats = append(beats, p)
		}
		if f != nil {
			s.queue(o) // behind the others
			s.control = append(s.control, progressesOf(beats)...)
			return &feedpb.SenderMessage{Message: &feedpb.SenderMessage_Frame{Frame: f}}
		}
	}
	s.control = append(s.control, progressesOf(beats)...)
	if len(s.control) == 0 {
		return nil
	}
	m := s.control[0]
	s.control = s.control[1:]
	return m
}

// mostBeats bounds the heartbeats of one message.
const mostBeats = 1000

func progressesOf(beats []*feedpb.Progress) (ms []*feedpb.SenderMessage) {
	for part := range slices.Chunk(beats, mostBeats) {
		ms = append(ms, &feedpb.SenderMessage{Message: &feedpb.SenderMessage_Progresses{
			Progresses: &feedpb.Progresses{Progresses: part},
		}})
	}
	return ms
}

func (s *sender) queue(o *outgoing) {
	if !o.queued && !o.closed {
		o.queued = true
		s.ready = append(s.ready, o)
	}
}

// close ends a sub-stream from this side.
func (s *sender) close(stream uint64, reason feedpb.Reason, detail string) {
	if o := s.subs[stream]; o != nil {
		s.drop(o)
	}
	s.control = append(s.control, &feedpb.SenderMessage{Message: &feedpb.SenderMessage_Closed{
		Closed: &feedpb.Closed{Stream: stream, Reason: reason, Detail: detail},
	}})
}

func (s *sender) drop(o *outgoing) {
	o.closed, o.batch = true, nil
	delete(s.subs, o.stream)
	if f := s.feeds[o.log.id]; f != nil {
		if i := slices.Index(f.subs, o); i >= 0 {
			f.subs = slices.Delete(f.subs, i, i+1)
		}
	}
}
