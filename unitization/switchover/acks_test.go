package switchover

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// twoFrozen is an estate with two frozen switchovers: x waits for relays in hz, y for those in sz, each some.
func twoFrozen(t testing.TB) State {
	t.Helper()
	s := smallState(t)
	for i := range 4 {
		for _, center := range []string{"hz-b", "sz-a"} {
			s = mustApply(t, s, OpenSession{Session{ID: fmt.Sprintf("%s-%d", center, i), Holder: Relay, Name: "r", Center: center}})
		}
	}
	s = approved(t, s, "x", moves(MoveRequest{Unitization: "files", Unit: "v", ToCenters: []string{"sh-a"}}))
	s = approved(t, s, "y", moves(MoveRequest{Unitization: "shared", Unit: "g", ToCenters: []string{"sh-b"}, ToPrimary: "sh-b"}))
	return mustApply(t, s, Freeze{"x", "uid-x"}, Freeze{"y", "uid-y"})
}

// TestAcknowledgementsTogether: a batch makes of the state what its acknowledgements make of it one by one, whichever
// they are and however often they come.
func TestAcknowledgementsTogether(t *testing.T) {
	start := twoFrozen(t)
	if len(start.Concerned("x")) < 5 || len(start.Concerned("y")) < 5 {
		t.Fatalf("x waits for %q, y for %q", start.Concerned("x"), start.Concerned("y"))
	}
	sessions := append(append([]string{"unknown"}, start.Concerned("x")...), start.Concerned("y")...)
	for id := range sorted(start.Sessions) {
		sessions = append(sessions, id)
	}
	freezes := []uint64{start.Switchovers["x"].Freeze, start.Switchovers["y"].Freeze, 1}
	rnd := rand.New(rand.NewPCG(1, 7))
	passed := map[Phase]int{}
	for range 500 {
		s := start
		if rnd.IntN(3) == 0 {
			s = acked(t, s, "xy"[rnd.IntN(2):][:1])
		}
		batch := AckFreezes{}
		for range rnd.IntN(80) {
			batch.Acks = append(batch.Acks, AckFreeze{sessions[rnd.IntN(len(sessions))], freezes[rnd.IntN(len(freezes))]})
		}
		want := s
		for _, ack := range batch.Acks {
			want = mustApply(t, want, ack)
		}
		got := mustApply(t, s, batch)
		x, _ := want.Encode()
		y, _ := got.Encode()
		if !bytes.Equal(x, y) {
			t.Fatalf("%+v: together\n%s\none by one\n%s", batch, y, x)
		}
		passed[got.Switchovers["x"].Phase]++
		passed[got.Switchovers["y"].Phase]++
	}
	if passed[PhaseFrozen] < 50 || passed[PhaseCaughtUp] < 50 || passed[PhaseFencing] < 50 {
		t.Errorf("phases are %v: the batches must end some freezes and leave others", passed)
	}
}

// TestAcknowledgementsKeepTheirState: the state that a batch came upon stays as it was.
func TestAcknowledgementsKeepTheirState(t *testing.T) {
	s := twoFrozen(t)
	freeze := s.Switchovers["x"].Freeze
	first := mustApply(t, s, AckFreeze{s.Concerned("x")[0], freeze})
	before, _ := first.Encode()
	var batch AckFreezes
	for _, id := range first.Concerned("x")[1:] {
		batch.Acks = append(batch.Acks, AckFreeze{id, freeze})
	}
	second := mustApply(t, first, batch)
	if after, _ := first.Encode(); !bytes.Equal(before, after) {
		t.Errorf("it was\n%s\nand is\n%s", before, after)
	}
	if len(second.Concerned("x")) != 1 {
		t.Errorf("%q are waited for, want one", second.Concerned("x"))
	}
}
