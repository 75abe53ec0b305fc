package feed

import (
	"slices"

	"pentad.dev/pentad/federation/feed/feedpb"
)

// offered is what a sender knows of one feed.
type offered struct {
	log       *Log
	announced bool
	home      bool
	position  Position
	filter    Filter
	queued    bool // in announce
	due       bool // to be announced at the next tick
	subs      []*outgoing
}

// look notes that a feed changed.
func (s *sender) look(id ID, e event) {
	l, ok := s.set.Get(id)
	if !ok || !s.offers(l) {
		s.withdraw(id)
		return
	}
	s.superseded(id, l)
	f := s.feed(id, l)
	if e&(moved|pulsed) != 0 {
		for _, o := range f.subs {
			s.queue(o)
		}
	}
	l.mu.RLock()
	pos, home, filter := l.pos, l.homeLocked(), l.filter
	l.mu.RUnlock()
	switch {
	case pos.IsZero() || f.queued:
	case !f.announced || f.home != home:
		f.queued = true
		s.announce = append(s.announce, id)
	case f.position != pos || !f.filter.Equal(filter):
		f.due = true
	}
}

// superseded ends what is open of an earlier log of the feed, which was removed.
func (s *sender) superseded(id ID, l *Log) {
	if f := s.feeds[id]; f != nil && f.log != l {
		s.withdraw(id)
	}
}

func (s *sender) feed(id ID, l *Log) *offered {
	f := s.feeds[id]
	if f == nil || f.log != l {
		f = &offered{log: l}
		s.feeds[id] = f
	}
	return f
}

// withdraw ends the offer of a feed that is gone, or not for this reader any more.
func (s *sender) withdraw(id ID) {
	f := s.feeds[id]
	if f == nil {
		return
	}
	delete(s.feeds, id)
	for _, o := range slices.Clone(f.subs) {
		s.close(o.stream, feedpb.Reason_REASON_ABSENT, "")
	}
	if f.announced {
		s.control = append(s.control, announcementsOf(&feedpb.Announcement{Feed: string(id), Gone: true}))
	}
}

func announcementsOf(as ...*feedpb.Announcement) *feedpb.SenderMessage {
	return &feedpb.SenderMessage{Message: &feedpb.SenderMessage_Announcements{
		Announcements: &feedpb.Announcements{Announcements: as},
	}}
}

func (s *sender) announcements() *feedpb.SenderMessage {
	n := min(len(s.announce), 1000)
	as := make([]*feedpb.Announcement, 0, n)
	for _, id := range s.announce[:n] {
		f := s.feeds[id]
		if f == nil {
			continue
		}
		f.log.mu.RLock()
		f.position, f.home, f.filter = f.log.pos, f.log.homeLocked(), f.log.filter
		f.log.mu.RUnlock()
		f.announced, f.queued, f.due = true, false, false
		as = append(as, &feedpb.Announcement{
			Feed: string(id), Position: positionProto(f.position), Home: f.home, Filter: filterProto(f.filter),
		})
	}
	s.announce = s.announce[n:]
	return announcementsOf(as...)
}
