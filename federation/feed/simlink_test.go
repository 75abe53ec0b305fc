package feed

import (
	"fmt"
	"strings"

	"context"

	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/federation/feed/feedpb"
)

// simLink carries one stream; what is under way is lost when it is cut.
type simLink struct {
	from, to  *simNode
	publish   bool
	peer      int // of to's chooser
	up        bool
	since     int
	starved   bool
	sender    *sender
	receiver  *receiver
	inS, inR  *inbox
	service   *publication
	down      [][]byte
	back      [][]byte
	remembers map[ID]Position
}

// connect opens a stream over a link.
func (w *world) connect(l *simLink) {
	w.cut(l)
	l.up, l.since = true, w.step
	l.inS, l.inR = newInbox(), newInbox()
	l.from.set.addWatcher(l.inS)
	offers := func(lg *Log) bool {
		if l.publish {
			return lg.published()
		}
		return lg.id != IntentID || l.from.server // its marks go one hop
	}
	l.sender = newSender(l.from.set, l.inS, offers)
	l.sender.remembers = l.remembers
	l.receiver = newReceiver(l.to.set, l.inR)
	l.receiver.jitter = w.rng.Float64
	l.receiver.validator = func(id ID, r *Record) error {
		if strings.HasPrefix(string(r.Value), "!") {
			return fmt.Errorf("bad value %q", r.Value)
		}
		return nil
	}
	if l.publish {
		l.receiver.fromWriter = true
		allow := func(context.Context, ID) error { return nil }
		svc, err := NewService(ServiceConfig{Set: l.to.set, Authorize: allow})
		if err != nil {
			panic(err)
		}
		l.service = &publication{ctx: context.Background(), service: svc, half: l.receiver, homes: map[ID]*Log{}}
	} else {
		l.to.chooser.connect(l.peer)
	}
}

func (w *world) cut(l *simLink) {
	if !l.up {
		return
	}
	l.up, l.down, l.back = false, nil, nil
	l.from.set.removeWatcher(l.inS)
	l.receiver.end()
	if l.publish {
		l.service.end()
		return
	}
	for _, id := range l.to.chooser.disconnect(l.peer) {
		w.decide(l.to, id)
	}
}

func (w *world) decide(n *simNode, id ID) {
	var held Position
	if l, ok := n.set.Get(id); ok {
		held = l.Position()
	}
	for _, s := range n.chooser.decide(id, held, w.clock) {
		if l := n.in[s.peer]; !l.up {
			continue
		} else if s.open {
			l.receiver.open(id, s.filter)
		} else {
			l.receiver.shut(id)
		}
	}
}

// decideAll is a follower's look around.
func (w *world) decideAll(n *simNode) {
	for _, id := range w.feeds() {
		for _, l := range n.in {
			if l.up {
				if in := l.receiver.feeds[id]; in != nil {
					n.chooser.delivered(l.peer, id, in.theirs, in.heard)
				}
				lost := l.receiver.lost
				l.receiver.lost = nil
				w.announced(l, nil, lost)
			}
		}
		w.decide(n, id)
	}
}

// turn moves a link on by one message at one of its four ends; false: there was nothing to do.
func (w *world) turn(l *simLink, end int) bool {
	switch end {
	case 0:
		m := l.sender.next()
		if m == nil {
			return false
		}
		w.emits(l, m)
		l.down = append(l.down, encode(m))
	case 1:
		m := &feedpb.SenderMessage{}
		if !pop(&l.down, m) {
			return false
		}
		if l.starved && (m.GetFrame() != nil || m.GetProgresses() != nil) {
			return true
		}
		as, err := l.receiver.handle(m)
		if err != nil {
			w.fail("receiver: %v", err)
		}
		lost := l.receiver.lost
		l.receiver.lost = nil
		if l.publish {
			l.service.announced(as, lost)
			break
		}
		w.announced(l, as, lost)
	case 2:
		m := l.receiver.next()
		if m == nil {
			return false
		}
		l.back = append(l.back, encode(m))
	case 3:
		m := &feedpb.ReceiverMessage{}
		if !pop(&l.back, m) {
			return false
		}
		if err := l.sender.handle(m); err != nil {
			w.fail("sender: %v", err)
		}
	}
	return true
}

func (w *world) announced(l *simLink, as []*feedpb.Announcement, lost []ID) {
	for _, a := range as {
		id := ID(a.GetFeed())
		if a.GetGone() {
			l.to.chooser.gone(l.peer, id)
		} else {
			l.to.chooser.announced(l.peer, id, &offer{
				position: positionOf(a.GetPosition()), home: a.GetHome(), filter: filterOf(a.GetFilter())})
		}
		w.decide(l.to, id)
	}
	for _, id := range lost {
		l.to.chooser.lost(l.peer, id, l.receiver.removed(id))
		w.decide(l.to, id)
	}
}

func encode(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

func pop(queue *[][]byte, m proto.Message) bool {
	if len(*queue) == 0 {
		return false
	}
	if err := proto.Unmarshal((*queue)[0], m); err != nil {
		panic(err)
	}
	*queue = (*queue)[1:]
	return true
}
