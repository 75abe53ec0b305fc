package feed

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pentad.dev/pentad/federation/feed/feedpb"
)

// wired is a sending and a receiving half with nothing between them.
type wired struct {
	t        *testing.T
	from, to *Set
	s        *sender
	r        *receiver
}

func wire(t *testing.T, o Options) *wired {
	t.Helper()
	w := &wired{t: t}
	var err error
	if w.from, err = OpenSet("", o); err != nil {
		t.Fatal(err)
	}
	if w.to, err = OpenSet("", o); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *wired) connect() {
	inS, inR := newInbox(), newInbox()
	w.from.addWatcher(inS)
	w.s = newSender(w.from, inS, func(*Log) bool { return true })
	w.r = newReceiver(w.to, inR)
}

func (w *wired) handle(m *feedpb.SenderMessage) {
	w.t.Helper()
	if _, err := w.r.handle(m); err != nil {
		w.t.Fatal(err)
	}
}

// back brings what the receiver has to say.
func (w *wired) back() {
	w.t.Helper()
	for m := w.r.next(); m != nil; m = w.r.next() {
		if err := w.s.handle(m); err != nil {
			w.t.Fatal(err)
		}
	}
}

// settle moves everything.
func (w *wired) settle() {
	w.t.Helper()
	for range 1000 {
		w.back()
		m := w.s.next()
		if m == nil {
			return
		}
		w.handle(m)
	}
	w.t.Fatal("never comes to rest")
}

func TestSmallFeedOvertakesLargeOne(t *testing.T) {
	w := wire(t, Options{})
	large, small := w.from.Log("c/large"), w.from.Log("c/small")
	var whole []Change
	for i := range 400 {
		whole = append(whole, Change{"k", fmt.Sprint(i), make([]byte, 100<<10)})
	}
	large.Begin(1, whole)
	small.Begin(1, []Change{change("a", "1")})
	w.connect()
	w.r.open("c/small", Filter{})
	w.settle()
	w.r.open("c/large", Filter{})
	w.back()
	for range 3 {
		w.s.next()
	}
	small.Commit(change("a", "2"))
	waited := 0
	for ; waited < 10; waited++ {
		if f := w.s.next().GetFrame(); f != nil && len(f.GetRecords()) == 1 && string(f.GetRecords()[0].GetValue()) == "2" {
			break
		}
	}
	if waited > 1 {
		t.Errorf("the small feed's change waited for %d frames of the large one", waited)
	}
	frames := 3
	for m := w.s.next(); m != nil; m = w.s.next() {
		if m.GetFrame() != nil {
			frames++
		}
	}
	if frames > 8 {
		t.Errorf("%d frames of one feed are under way to a receiver that takes none", frames)
	}
}

func TestFramesStayNearTheirLimit(t *testing.T) {
	w := wire(t, Options{})
	l := w.from.Log("c/x")
	var whole []Change
	for i := range 100 {
		whole = append(whole, Change{"k", fmt.Sprint(i), make([]byte, 30<<10)})
	}
	whole = append(whole, Change{"k", "huge", make([]byte, MaxValue)})
	l.Begin(1, whole)
	w.connect()
	w.r.open("c/x", Filter{})
	w.back()
	for m := w.s.next(); m != nil; m = w.s.next() {
		f := m.GetFrame()
		if size := len(encode(m)); size > 256<<10+1000 && len(f.GetRecords()) > 1 || size > MaxValue+1000 {
			t.Errorf("frame of %d bytes, %d records", size, len(f.GetRecords()))
		}
		w.handle(m)
		w.back()
	}
	if !equal(l, w.to) {
		t.Error("not equal")
	}
}

func TestBrokenSealAsksForOneResetAndMendsReadersToo(t *testing.T) {
	w := wire(t, Options{})
	l := w.from.Log("c/x")
	l.Begin(1, []Change{change("a", "1"), change("b", "1")})
	w.connect()
	w.r.open("c/x", Filter{})
	w.settle()
	c := w.to.Log("c/x")
	reader := c.Cursor(Position{})
	reader.Next()
	c.mu.Lock() // a bug loses a record
	n := c.table.get("k", "a")
	delete(c.table.kinds["k"].keys, "a")
	c.table.unlink(n)
	c.mu.Unlock()
	if c.Len() != 1 {
		t.Fatal("nothing is lost")
	}
	w.s.tick() // it spoke since the last
	w.s.tick()
	w.settle()
	if !equal(l, w.to) {
		t.Error("not mended")
	}
	if b, ok := reader.Next(); !ok || !b.Reset || len(b.Records) != 2 {
		t.Errorf("the reader got %s, %t", show(b), ok)
	}
	w.s.tick()
	w.settle()
	if _, ok := reader.Next(); ok {
		t.Error("mended twice")
	}
}

func TestFilterGrowsWithoutLosingWhatIsShown(t *testing.T) {
	w := wire(t, Options{frameBytes: 1})
	l := w.from.Log("c/x")
	l.Begin(1, []Change{change("a", "1"), change("b", "1"), change("c", "1")})
	w.connect()
	w.r.open("c/x", NewFilter(nil, []string{"a"}))
	w.settle()
	c := w.to.Log("c/x")
	if c.Len() != 1 || c.Position() != l.Position() {
		t.Fatalf("%d records at %s", c.Len(), c.Position())
	}
	w.r.open("c/x", NewFilter(nil, []string{"a", "b"}))
	w.back()
	w.handle(w.s.next())
	if _, ok := c.Get("k", "a"); !ok || !c.Filter().Equal(NewFilter(nil, []string{"a"})) {
		t.Error("the old copy does not serve until the reset commits")
	}
	w.settle()
	if _, ok := c.Get("k", "b"); !ok || c.Len() != 2 {
		t.Error("the wider filter never arrives")
	}
}

func TestMalformedMessagesAreRefused(t *testing.T) {
	rec := func(key string, seq uint64) *feedpb.Record {
		return &feedpb.Record{Kind: "k", Key: key, Value: []byte("v"), At: &feedpb.Position{Incarnation: 1, Seq: seq}}
	}
	pos := func(seq uint64) *feedpb.Position { return &feedpb.Position{Incarnation: 1, Seq: seq} }
	for name, frames := range map[string][]*feedpb.Frame{
		"to is unknown":           {{Commit: true, Reset_: true}},
		"to is not after from":    {{From: pos(5), To: pos(5), Commit: true}},
		"frames differ":           {{To: pos(5), Reset_: true}, {To: pos(6), Reset_: true, Commit: true}},
		"a record is after to":    {{To: pos(5), Reset_: true, Commit: true, Records: []*feedpb.Record{rec("a", 6)}}},
		"a record is before from": {{From: pos(3), To: pos(5), Commit: true, Records: []*feedpb.Record{rec("a", 3)}}},
		"records are out of order": {{To: pos(5), Reset_: true, Commit: true, Records: []*feedpb.Record{
			rec("a", 5), rec("b", 4)}}},
		"a deletion has a value": {{To: pos(5), Reset_: true, Commit: true, Records: []*feedpb.Record{
			{Kind: "k", Key: "a", Value: []byte("v"), Deleted: true, At: pos(1)}}}},
		"a delta on nothing": {{From: pos(1), To: pos(5), Commit: true}},
		"the seal is wrong":  {{To: pos(5), Reset_: true, Commit: true, Sealed: true, Seal: 5}},
		"of another filter":  {{To: pos(5), Reset_: true, Commit: true, Records: []*feedpb.Record{rec("other", 5)}}},
	} {
		t.Run(name, func(t *testing.T) {
			w := wire(t, Options{})
			w.connect()
			w.r.open("c/x", NewFilter(nil, []string{"a", "b"}))
			opened := w.r.next().GetOpen().GetStream()
			for _, f := range frames {
				f.Stream = opened
				w.handle(&feedpb.SenderMessage{Message: &feedpb.SenderMessage_Frame{Frame: f}})
			}
			if l := w.to.Log("c/x"); !l.Position().IsZero() || l.Len() != 0 {
				t.Errorf("shows %d records at %s", l.Len(), l.Position())
			}
			if w.r.next().GetClose().GetStream() != opened || w.r.next().GetOpen().GetStream() <= opened {
				t.Error("the sub-stream is not closed and opened again")
			}
		})
	}
}

func TestRefusalsThatGoOnAreTriedLessAndLessOften(t *testing.T) {
	var now time.Duration
	w := wire(t, Options{Now: func() time.Duration { return now }})
	w.connect()
	w.r.open("c/x", Filter{})
	opens := 0
	for now = 0; now < 10*time.Second; now += time.Millisecond {
		w.r.tick()
		for m := w.r.next(); m != nil; m = w.r.next() {
			if o := m.GetOpen(); o != nil {
				opens++
				w.handle(&feedpb.SenderMessage{Message: &feedpb.SenderMessage_Frame{
					Frame: &feedpb.Frame{Stream: o.GetStream(), Commit: true},
				}})
			}
		}
	}
	if opens < 8 || opens > 20 {
		t.Errorf("opened %d times in ten seconds", opens)
	}
}

func TestStreamOfWhichNothingIsHeardEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		in := make(chan int)
		beats := 0
		x := &exchange[int, int]{
			recv: func() (int, error) {
				select {
				case n := <-in:
					return n, nil
				case <-ctx.Done():
					return 0, ctx.Err()
				}
			},
			send: func(int) error { return nil }, handle: func(int) error { return nil },
			next: func() (int, bool) { return 0, false }, beat: func() { beats++ }, tick: func() time.Duration { return 0 },
			heartbeat: time.Second,
		}
		go func() {
			for range 20 {
				time.Sleep(time.Second)
				in <- 1
			}
		}()
		began := time.Now()
		done, err := x.run(ctx)
		if took := time.Since(began); !errors.Is(err, errSilent) || took < 24*time.Second || took > 26*time.Second {
			t.Errorf("%v after %s", err, took)
		}
		if beats < 20 {
			t.Errorf("%d beats", beats)
		}
		cancel()
		<-done
	})
}
