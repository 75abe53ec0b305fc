package permit

import (
	"fmt"
	"time"

	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/switchover"
)

// simRelay is a relay: a hop and its asker.
type simRelay struct {
	*proc
	hop          *Hop
	asker        Asker
	session      string
	keepsSession bool
	next         time.Duration
	up, down     time.Duration // the order of the stream
}

func (r *simRelay) start() {
	w := r.w
	r.restart()
	if r.session == "" || !r.keepsSession {
		w.names++
		r.session = fmt.Sprint("s", w.names)
	}
	r.hop, _ = NewHop(HopConfig{Holder: permitpb.Holder_HOLDER_RELAY, Center: center, Clock: r, broken: w.hop})
	r.asker = Asker{broken: w.hop}
	r.next = w.now
}

func (r *simRelay) act() {
	w := r.w
	if w.rng.IntN(1500) == 0 {
		r.start()
		return
	}
	select {
	case <-r.hop.Wakes():
		r.next = w.now
	default:
	}
	if w.now < r.next {
		return
	}
	r.next = w.now + time.Duration(200+w.rng.IntN(400))*time.Millisecond
	ask := &permitpb.Ask{Number: r.asker.Ask(r.Now()), Closed: r.hop.Closed()}
	session := switchover.Session{
		ID: r.session, Holder: switchover.Relay, Name: "r", Cluster: "c", Center: center,
	}
	born := r.born
	w.send(&r.up, w.leader.server(), func() {
		a := w.answer(session, ask)
		if born != r.born { // the stream died with its process
			return
		}
		if a != nil {
			w.send(&r.down, r.proc, func() {
				if p, err := r.asker.Take(a, r.Now()); err == nil {
					r.hop.Granted(p)
				}
			})
		} else {
			w.send(&r.down, r.proc, func() {
				if r.session == session.ID {
					w.names++
					r.session = fmt.Sprint("s", w.names)
				}
			})
		}
	})
}

// answer is any server's: it registers, notes acknowledgements, and answers from the state of now.
func (w *world) answer(session switchover.Session, ask *permitpb.Ask) *permitpb.Answer {
	w.leader.asked[session.ID] = w.now
	terms, revision := w.terms, w.revision
	w.answered = w.now
	if w.state.Sessions[session.ID] == nil && w.bug != serverUnregistered {
		w.state.Sessions[session.ID] = &session
		w.committed()
		revision = w.revision
	}
	for _, f := range ask.Closed {
		if w.leader.freeze == f {
			w.leader.acked[session.ID] = true
		}
	}
	if err := CheckSession(w.state, session); err != nil && w.bug != serverUnregistered && w.bug != serverAnswersClosed {
		return nil
	}
	if w.bug == serverStaleRead && w.leader.before.Maps != nil && w.rng.IntN(2) == 0 {
		terms, revision = w.leader.before, w.leader.beforeRevision
	}
	return terms.Answer(ask.Number, revision)
}
