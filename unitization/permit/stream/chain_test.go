package stream

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestAFreezeGoesDownAndItsAcknowledgementUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a := newNetwork(), newAuthority()
		n.root(t, "server", a, 0)
		r := n.relay(t, "relay", "s1", nil, "server")
		g := n.guard(t, "guard", "relay")
		eventually(t, "a permit", 5*time.Second, g.open)
		begun := time.Now()
		f := a.freeze()
		took := eventually(t, "the guard closes", time.Second, func() bool { return !g.open() })
		t.Logf("the guard has closed after %s", took)
		if a.acked(f) != 0 {
			t.Error("acknowledged though the relay has run for less than a permit's length")
		}
		eventually(t, "the acknowledgement", 8*time.Second, func() bool { return a.acked(f) == 1 })
		t.Logf("acknowledged after %s: %+v", time.Since(begun), r.hop.Status())
	})
}
