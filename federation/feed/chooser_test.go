package feed

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func steps(ss []step) string {
	var out []string
	for _, s := range ss {
		out = append(out, fmt.Sprintf("%s %d", map[bool]string{true: "open", false: "shut"}[s.open], s.peer))
	}
	return strings.Join(out, ", ")
}

func TestFeedIsFollowedAtItsHomeThenAtTheNearest(t *testing.T) {
	c := newChooser(3, time.Second, func(ID) (Filter, bool) { return Filter{}, true }, 0)
	for p := range 3 {
		c.connect(p)
	}
	at := func(seq uint64, home bool) *offer { return &offer{position: Position{1, seq}, home: home} }
	for i, s := range []struct {
		do   func()
		want string
	}{
		{func() { c.announced(1, "f", at(5, false)) }, "open 1"},
		{func() { c.announced(0, "f", at(4, false)) }, "open 0, shut 1"},
		{func() { c.announced(2, "f", at(5, true)) }, "open 2, shut 0"},
		{func() { c.announced(2, "f", at(5, false)) }, "open 0, shut 2"},
		{func() { c.announced(1, "f", at(5, true)) }, "open 1, shut 0"},
		{func() { c.disconnect(1) }, "open 0"},
		{func() { c.refused(0, "f") }, "open 2, shut 0"},
		{func() { c.gone(2, "f") }, "shut 2"},
	} {
		s.do()
		if got := steps(c.decide("f", Position{1, 5}, 0)); got != s.want {
			t.Errorf("step %d: %s, want %s", i, got, s.want)
		}
	}
}

func TestSecondStreamIsOpenedWhileTheFirstIsBehindOrSilent(t *testing.T) {
	c := newChooser(2, time.Second, func(ID) (Filter, bool) { return Filter{}, true }, 0)
	c.connect(0)
	c.connect(1)
	held := Position{1, 1}
	ms := time.Millisecond
	step := func(now time.Duration, want string) {
		t.Helper()
		if got := steps(c.decide("f", held, now)); got != want {
			t.Errorf("at %s: %s, want %s", now, got, want)
		}
	}
	c.announced(0, "f", &offer{position: held, home: true})
	c.announced(1, "f", &offer{position: held})
	step(1*ms, "open 0")
	c.announced(1, "f", &offer{position: Position{1, 2}})
	step(100*ms, "")
	step(1000*ms, "")
	held = Position{1, 2} // the first delivers: patience begins anew
	c.delivered(0, "f", held, 1000*ms)
	c.announced(1, "f", &offer{position: Position{1, 9}})
	step(1050*ms, "")
	step(1999*ms, "")
	step(2050*ms, "open 1")
	held = Position{1, 9}
	c.delivered(1, "f", held, 2060*ms)
	c.delivered(0, "f", Position{1, 8}, 2900*ms)
	step(3000*ms, "") // still behind
	c.delivered(0, "f", held, 3000*ms)
	step(3100*ms, "")
	step(4099*ms, "")
	step(4100*ms, "shut 1")
	step(4900*ms, "")
	step(5000*ms, "open 1") // nothing was heard of the feed over the first for two seconds
}
