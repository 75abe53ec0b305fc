package permit

import (
	"context"
	"testing"
	"time"

	"pentad.dev/pentad/unitization/permit/permitpb"
)

// handClock is moved by hand.
type handClock struct{ mono, wall time.Duration }

func (c *handClock) Now() Instant { return InstantAt(c.mono, c.wall) }

func (c *handClock) pass(d time.Duration) { c.mono, c.wall = c.mono+d, c.wall+d }

// users is a map with unit a in a.x for shards 0 and 1, and b in b.x for the rest; the first range frozen from freeze
// on.
func users(epoch, freeze uint64) *permitpb.Map {
	m := &permitpb.Map{Unitization: "users", Shards: 4, Epoch: epoch, Ranges: []*permitpb.Range{
		{From: 0, To: 1, Unit: "a", Cells: []string{"a.x"}, Since: 1},
		{From: 2, To: 3, Unit: "b", Cells: []string{"b.x"}, Since: 1},
	}}
	if freeze > 0 {
		m.Ranges[0].Frozen, m.Ranges[0].Since, m.Ranges[0].Left = true, freeze, []string{"a.x"}
	}
	return m
}

// hopAt is a hop that has run for long, with a permit that it has just asked for.
func hopAt(t *testing.T, broken breakage) (*Hop, *handClock) {
	t.Helper()
	c := &handClock{mono: time.Hour, wall: time.Hour}
	h, err := NewHop(HopConfig{Holder: permitpb.Holder_HOLDER_RELAY, Center: "x", Clock: c, broken: broken})
	if err != nil {
		t.Fatal(err)
	}
	h.Granted(&Permit{Asked: c.Now(), Holds: 5 * time.Second, Revision: 1, Maps: []*permitpb.Map{users(1, 0)}})
	c.pass(time.Minute)
	h.Granted(&Permit{Asked: c.Now(), Holds: 5 * time.Second, Revision: 2, Maps: []*permitpb.Map{users(1, 0)}})
	return h, c
}

func (h *Hop) mustOpen(t *testing.T, session string, cells ...string) Lease {
	t.Helper()
	l, err := h.Open(context.Background(), &permitpb.Open{
		Session: session, Name: session, Holder: permitpb.Holder_HOLDER_GUARD, Cells: cells,
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func ask(t *testing.T, l Lease, number uint64, closed ...uint64) *permitpb.Answer {
	t.Helper()
	a, err := l.Answer(context.Background(), &permitpb.Ask{Number: number, Closed: closed})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (h *Hop) gets(c *handClock, revision, freeze uint64) {
	h.Granted(&Permit{
		Asked: c.Now(), Holds: 5 * time.Second, Revision: revision, Maps: []*permitpb.Map{users(freeze, freeze)},
	})
}
