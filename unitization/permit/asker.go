package permit

import (
	"fmt"

	"pentad.dev/pentad/unitization/permit/permitpb"
)

// Asker is the core of a holder's side: it numbers asks and remembers when they were made. One ask is under way at a
// time, over whatever stream; an answer to any other gives nothing. The zero Asker is ready. Not for concurrent use.
type Asker struct {
	last    uint64
	asked   Instant
	waiting bool
	broken  breakage
}

// Ask begins an ask: the moment must be before the ask is sent. An earlier one that still waits is given up.
func (k *Asker) Ask(now Instant) (number uint64) {
	k.last++
	k.asked, k.waiting = now, true
	return k.last
}

// Waiting says whether an ask is under way, and since when.
func (k *Asker) Waiting() (Instant, bool) { return k.asked, k.waiting }

// Take makes a permit of an answer, counted from its ask. An answer that is not to the ask under way, or that says what
// cannot be, is ErrMalformed. now is when it arrived.
func (k *Asker) Take(a *permitpb.Answer, now Instant) (*Permit, error) {
	if !k.waiting || a.GetNumber() != k.last {
		return nil, fmt.Errorf("%w: answer to ask %d: the last one was %d", ErrMalformed, a.GetNumber(), k.last)
	}
	k.waiting = false
	asked := k.asked
	if k.broken.has(brokenCountFromAnswer) {
		asked = now
	}
	return FromAnswer(asked, a)
}
