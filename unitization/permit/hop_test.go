package permit

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/switchover"
)

func TestAHopGrantsWhatIsLeftWhenItIsAsked(t *testing.T) {
	h, c := hopAt(t, 0)
	l := h.mustOpen(t, "g", "a.x")
	c.pass(1200 * time.Millisecond)
	if a := ask(t, l, 1); time.Duration(a.HoldsNs) != 3800*time.Millisecond {
		t.Errorf("holds %s, want 3.8s", time.Duration(a.HoldsNs))
	}
	c.wall += 3 * time.Second // suspended, or set
	if a := ask(t, l, 2); time.Duration(a.HoldsNs) != 800*time.Millisecond {
		t.Errorf("after a suspension: holds %s, want 800ms", time.Duration(a.HoldsNs))
	}
	c.pass(time.Second)
	if a := ask(t, l, 3); a.HoldsNs != 0 || a.Revision != 2 || len(a.Maps) != 1 {
		t.Errorf("after its own permit's end: %v, want no right, but knowledge", a)
	}
}

// endsWhenItMust says whether a hop waits for the whole of a lost guard's permit.
func endsWhenItMust(t *testing.T, broken breakage, pass func(*handClock)) (early, late bool) {
	h, c := hopAt(t, broken)
	l := h.mustOpen(t, "g", "a.x")
	ask(t, l, 1)
	l.Close()
	pass(c)
	h.gets(c, 3, 2)
	early = slices.Contains(h.Closed(), 2)
	c.pass(time.Second)
	return early, slices.Contains(h.Closed(), 2)
}

func TestALostGuardIsWaitedForOnTheSlowestClock(t *testing.T) {
	slow := func(c *handClock) { c.pass(5040 * time.Millisecond) }
	set := func(c *handClock) { c.pass(4500 * time.Millisecond); c.wall += time.Hour }
	for name, pass := range map[string]func(*handClock){"drift": slow, "a wall clock that is set": set} {
		if early, late := endsWhenItMust(t, 0, pass); early || !late {
			t.Errorf("%s: acknowledged early: %v, at the end: %v", name, early, late)
		}
	}
	if early, _ := endsWhenItMust(t, brokenNoDrift, slow); !early {
		t.Error("planted: no margin for drift: not found")
	}
	if early, _ := endsWhenItMust(t, brokenWaitsByWall, set); !early {
		t.Error("planted: waits by the wall clock: not found")
	}
}

func TestAHopNeverGoesBack(t *testing.T) {
	reopens := func(broken breakage) bool {
		h, c := hopAt(t, broken)
		h.gets(c, 9, 2)
		h.Granted(&Permit{Asked: c.Now(), Holds: 5 * time.Second, Revision: 8, Maps: []*permitpb.Map{users(1, 0)}})
		return !ask(t, h.mustOpen(t, "g", "a.x"), 1).Maps[0].Ranges[0].Frozen
	}
	if reopens(0) {
		t.Error("an older answer was taken")
	}
	if !reopens(brokenGoesBack) {
		t.Error("planted: takes an older answer: not found")
	}
}

func guard(cells ...string) *permitpb.Open {
	return &permitpb.Open{Session: "s", Name: "g", Holder: permitpb.Holder_HOLDER_GUARD, Cells: cells}
}

func TestAHopGrantsOnlyWhatItMay(t *testing.T) {
	without := func(spoil func(*permitpb.Open)) *permitpb.Open {
		o := guard("a.x")
		spoil(o)
		return o
	}
	for _, c := range []struct {
		name string
		open *permitpb.Open
		want error
	}{
		{"another center", guard("a.x", "a.y"), ErrDenied},
		{"no cell", guard(), ErrMalformed},
		{"no unit", guard(".x"), ErrMalformed},
		{"no center", guard("a"), ErrMalformed},
		{"a relay", without(func(o *permitpb.Open) { o.Holder = permitpb.Holder_HOLDER_RELAY }), ErrMalformed},
		{"a store", without(func(o *permitpb.Open) { o.Holder = permitpb.Holder_HOLDER_STORE }), ErrMalformed},
		{"stores, too", without(func(o *permitpb.Open) { o.Stores = []string{"o"} }), ErrMalformed},
		{"no session", without(func(o *permitpb.Open) { o.Session = "" }), ErrMalformed},
		{"no name", without(func(o *permitpb.Open) { o.Name = "" }), ErrMalformed},
	} {
		h, _ := hopAt(t, 0)
		if _, err := h.Open(context.Background(), c.open); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if h, _ := hopAt(t, brokenAnyCell); c.want == ErrDenied {
			if _, err := h.Open(context.Background(), c.open); err != nil {
				t.Error("planted: grants to any cell: not found")
			}
		}
	}
}

func TestWhoComesBackSpeaksForAllThatItHolds(t *testing.T) {
	h, c := hopAt(t, 0)
	ask(t, h.mustOpen(t, "g", "a.x"), 1)
	h.gets(c, 3, 2)
	if got := h.Closed(); got != nil {
		t.Fatalf("acknowledged %v with a guard open", got)
	}
	select {
	case <-h.Wakes():
		t.Fatal("woken though the guard is open")
	default:
	}
	ask(t, h.mustOpen(t, "g", "a.x"), 1, 2)
	select {
	case <-h.Wakes():
	default:
		t.Error("not woken when the last guard had closed")
	}
	if got := h.Closed(); !slices.Equal(got, []uint64{2}) {
		t.Errorf("acknowledged %v, want 2", got)
	}
}

func TestAReleasedGuardIsNotWaitedFor(t *testing.T) {
	h, c := hopAt(t, 0)
	l := h.mustOpen(t, "g", "a.x")
	ask(t, l, 1)
	h.gets(c, 3, 2)
	a, err := l.Answer(context.Background(), &permitpb.Ask{Number: 2, Released: true})
	if err != nil || a.HoldsNs != 0 {
		t.Errorf("answer to a farewell: %v, %v", a, err)
	}
	l.Close()
	if got := h.Closed(); !slices.Equal(got, []uint64{2}) {
		t.Errorf("acknowledged %v, want 2", got)
	}
	if st := h.Status(); st.Holders != 0 || st.Moved != 0 {
		t.Errorf("status %+v", st)
	}
}

func TestGuardsOfOtherCellsAreNotWaitedFor(t *testing.T) {
	h, c := hopAt(t, 0)
	ask(t, h.mustOpen(t, "other", "b.x"), 1)
	h.gets(c, 3, 2)
	if got := h.Closed(); !slices.Equal(got, []uint64{2}) {
		t.Errorf("acknowledged %v, want 2", got)
	}
}

func TestHintsAreForNews(t *testing.T) {
	h, c := hopAt(t, 0)
	l := h.mustOpen(t, "g", "a.x")
	hinted := func() bool {
		select {
		case <-l.Hints():
			return true
		default:
			return false
		}
	}
	h.Granted(&Permit{Asked: c.Now(), Holds: 5 * time.Second, Revision: 7, Maps: []*permitpb.Map{users(1, 0)}})
	if hinted() {
		t.Error("a hint though nothing has changed")
	}
	h.gets(c, 8, 2)
	if !hinted() {
		t.Error("no hint of a freeze")
	}
	c.pass(6 * time.Second)
	h.gets(c, 8, 2)
	if !hinted() {
		t.Error("no hint though there is a permit again")
	}
}

func TestAgentsGrantStoresAndNeverAcknowledge(t *testing.T) {
	c := &handClock{mono: time.Hour}
	h, _ := NewHop(HopConfig{Holder: permitpb.Holder_HOLDER_AGENT, Center: "x", Clock: c})
	c.pass(time.Minute)
	h.Granted(&Permit{Asked: c.Now(), Holds: 5 * time.Second, Revision: 2, Maps: []*permitpb.Map{users(2, 2)},
		Stores: []*permitpb.StorePermit{{Store: "o", Primary: "x", Token: 4}, {Store: "p", Primary: "y"}}})
	l, err := h.Open(context.Background(), &permitpb.Open{
		Session: "s", Name: "o.x", Holder: permitpb.Holder_HOLDER_STORE, Stores: []string{"o"},
	})
	if err != nil {
		t.Fatal(err)
	}
	a := ask(t, l, 1)
	if len(a.Stores) != 1 || a.Stores[0].Token != 4 || len(a.Maps) != 0 || a.HoldsNs != int64(5*time.Second) {
		t.Errorf("answer %v", a)
	}
	c.pass(time.Minute)
	if got := h.Closed(); got != nil {
		t.Errorf("an agent acknowledged %v", got)
	}
}

func TestAGuardThatOwnsNothingLearnsWhoDoes(t *testing.T) {
	h, _ := hopAt(t, 0)
	if a := ask(t, h.mustOpen(t, "g", "c.x"), 1); len(a.Maps) != 1 {
		t.Errorf("a unit that owns nothing got %d maps, want all", len(a.Maps))
	}
}

func TestTermsHoldForTheShortest(t *testing.T) {
	s := switchover.State{
		Maps: map[string]*switchover.Map{
			"users":     {Shards: 1, Epoch: 3, Permit: 5 * time.Second, Ranges: []switchover.Range{{Unit: "a", Since: 3}}},
			"merchants": {Shards: 1, Epoch: 2, Permit: 2 * time.Second, Ranges: []switchover.Range{{Unit: "b", Since: 2}}},
		},
		Stores: map[string]*switchover.Store{
			"o": {Members: []string{"x", "y"}, Primary: "y", Accepting: true, Token: 7},
			"p": {Members: []string{"y"}, Primary: "y", Accepting: true},
			"q": {Members: []string{"x"}, Primary: "x"},
		},
	}
	only := func(name string) bool { return name == "users" }
	if got := TermsOf(s, switchover.Relay, "x", nil); got.Holds != 2*time.Second || len(got.Maps) != 2 {
		t.Errorf("all maps: %+v", got)
	}
	if got := TermsOf(s, switchover.Relay, "x", only); got.Holds != 5*time.Second || len(got.Maps) != 1 {
		t.Errorf("one map: %+v", got)
	}
	got := TermsOf(s, switchover.Agent, "x", only)
	if got.Holds != 2*time.Second || len(got.Stores) != 2 || got.Stores[0].Primary != "y" || got.Stores[1].Primary != "" {
		t.Errorf("an agent: %+v", got)
	}
	if got := TermsOf(switchover.State{}, switchover.Relay, "x", nil); got.Holds != Default {
		t.Errorf("no map: %+v", got)
	}
}
