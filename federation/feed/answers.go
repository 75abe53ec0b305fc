package feed

import "pentad.dev/pentad/federation/feed/feedpb"

// acknowledge makes the receiver say what it holds, when the stream comes to it.
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
		if in != nil && in.log != nil && in.log.Removed() {
			r.vanished(in)
			return
		}
		if in != nil && in.stream != 0 && in.stated.Before(in.log.Highest()) && !r.broken.has(highestNotPassed) {
			r.acknowledge(in)
		}
	})
	if len(r.out) > 0 {
		m := r.out[0]
		r.out = r.out[1:]
		if m.GetOpen() != nil {
			r.opens--
		}
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

// beat gives a sign of life.
func (r *receiver) beat() {
	if len(r.out) == 0 && len(r.acks) == 0 {
		r.out = append(r.out, &feedpb.ReceiverMessage{})
	}
}
