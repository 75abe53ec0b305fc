package feed

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pentad.dev/pentad/federation/feed/feedpb"
)

func TestReaderThatAsksAndDoesNotReadIsLeft(t *testing.T) {
	w := wire(t, Options{})
	w.connect()
	for i := range uint64(2 * mostWaiting) {
		err := w.s.handle(&feedpb.ReceiverMessage{Message: &feedpb.ReceiverMessage_Open{
			Open: &feedpb.Open{Stream: i + 1, Feed: "not/there"},
		}})
		if errors.Is(err, errMalformed) {
			return
		}
	}
	t.Errorf("%d answers wait for it", len(w.s.control))
}

func TestFeedIsOpenOnceOnAStream(t *testing.T) {
	w := wire(t, Options{})
	w.from.Log("c/x").Begin(1, []Change{change("a", "1")})
	w.connect()
	open := func(stream uint64) error {
		return w.s.handle(&feedpb.ReceiverMessage{Message: &feedpb.ReceiverMessage_Open{Open: &feedpb.Open{Stream: stream, Feed: "c/x"}}})
	}
	if err := open(1); err != nil {
		t.Fatal(err)
	}
	if err := open(2); !errors.Is(err, errMalformed) || len(w.s.subs) != 1 {
		t.Errorf("%v, %d sub-streams", err, len(w.s.subs))
	}
}

// TestSenderThatMakesItsReceiverAskAgainAndAgainIsLeft: it does not take the questions, and each is large.
func TestSenderThatMakesItsReceiverAskAgainAndAgainIsLeft(t *testing.T) {
	w := wire(t, Options{})
	w.from.Log("c/x").Begin(1, []Change{change("a", "1")})
	w.connect()
	w.r.open("c/x", Filter{})
	w.settle()
	in := w.r.feeds["c/x"]
	for i := range 4 * mostOpens {
		seq := uint64(1 + i%2) // where the receiver stands, and beyond what was sent
		_, err := w.r.handle(progressesOf([]*feedpb.Progress{{Stream: in.stream, Position: &feedpb.Position{Incarnation: 1, Seq: seq}}})[0])
		if errors.Is(err, errMalformed) {
			return
		}
	}
	t.Errorf("%d messages wait for it", len(w.r.out))
}

func TestFeedsOfOneWriterAreBounded(t *testing.T) {
	w := wire(t, Options{})
	w.connect()
	w.r.fromWriter = true
	var all []*feedpb.Announcement
	for i := range mostFeeds {
		id := ID(fmt.Sprint("c/", i))
		all = append(all, &feedpb.Announcement{Feed: string(id)})
		w.r.turnDown(id, errors.New("not yours"))
		w.r.next()
	}
	if _, err := w.r.handle(announcementsOf(all...)); err != nil {
		t.Errorf("as many as may be, twice: %v", err)
	}
	if _, err := w.r.handle(announcementsOf(&feedpb.Announcement{Feed: "c/more"})); !errors.Is(err, errMalformed) {
		t.Errorf("one more: %v", err)
	}
}

// TestFeedThatNoFileCanBeNamedAfterIsRefused, and the writer's other feed is not held up.
func TestFeedThatNoFileCanBeNamedAfterIsRefused(t *testing.T) {
	a := startServer(t, open(t, t.TempDir(), nil), "127.0.0.1:0")
	set, l := agent(t, change("a", "1"))
	long := ID("c/" + strings.Repeat("ü", 100))
	set.Log(long).Begin(1, []Change{change("a", "1")})
	pub := publish(t, set, a)
	eventually(t, "it is refused", func() bool {
		for _, f := range pub.Status()[0].Feeds {
			if f.ID == long && strings.Contains(f.Refused, "a name of 202 bytes") {
				return equal(l, a.set)
			}
		}
		return false
	})
	if _, ok := a.set.Get(long); ok {
		t.Error("it was taken")
	}
	longest := ID("c/" + strings.Repeat("x", mostName-len("c%2F")))
	a.set.Log(longest).Begin(1, nil)
	if err := errors.Join(a.set.Save(longest), a.set.Remove(longest)); err != nil || !longest.nameable() || (longest + "x").nameable() {
		t.Errorf("the longest name that is taken: %v", err)
	}
}

// TestWhatNoMessageCanCarryIsRefusedAtOnce: it would end each stream that it comes to, with all feeds on it.
func TestWhatNoMessageCanCarryIsRefusedAtOnce(t *testing.T) {
	l := memory(t).Log("c/x")
	if _, err := l.Begin(1, []Change{change("b\xff", "1")}); !errors.Is(err, ErrNotText) || l.Len() != 0 {
		t.Errorf("begin: %v", err)
	}
	l.Begin(1, nil)
	if _, err := l.Commit(Change{"k\xff", "b", nil}); !errors.Is(err, ErrNotText) {
		t.Errorf("commit: %v", err)
	}
	if err := l.SetLabel("\xff"); !errors.Is(err, ErrNotText) || l.Label() != "" {
		t.Errorf("label: %v", err)
	}
	a := startServer(t, memory(t), "127.0.0.1:0", func(c *ServiceConfig) {
		c.Validator = func(_ ID, r *Record) error { return fmt.Errorf("port %s: %s", r.Value, strings.Repeat("x", 5<<20)) }
	})
	set, written := agent(t, change("a", "\xff"))
	told := make(chan Rejection, 10)
	publishWith(t, PublisherConfig{
		Set: set, One: peersOf(a), OnAhead: func(ID, Position) {},
		OnRejected: func(_ string, _ ID, rs []Rejection) { told <- rs[0] },
	})
	if r := <-told; !strings.HasPrefix(r.Reason, "port \uFFFD: x") || len(r.Reason) > 2000 {
		t.Errorf("told %.100q", r.Reason)
	}
	eventually(t, "the copy is equal", func() bool { return equal(written, a.set) })
}

// TestStreamThatIsOverOpensNothing: a message that was being handled when it ended.
func TestStreamThatIsOverOpensNothing(t *testing.T) {
	w := wire(t, Options{})
	w.connect()
	w.r.open("c/x", Filter{})
	w.r.end()
	w.r.open("c/y", Filter{})
	w.r.retry(w.r.feeds["c/x"])
	for _, id := range w.to.IDs() {
		if l, _ := w.to.Get(id); len(l.copiers) != 0 {
			t.Errorf("feed %s: %d streams that are over hear of it for ever", id, len(l.copiers))
		}
	}
}

// TestFilterThatChangesIsAnnounced though the position stays, so that who wants more than the copy had comes back.
func TestFilterThatChangesIsAnnounced(t *testing.T) {
	w := wire(t, Options{})
	l := w.from.LogFiltered("c/x", NewFilter(nil, []string{"a"}))
	l.Begin(1, []Change{change("a", "1")})
	l.Resign()
	w.connect()
	announced := func() (last *feedpb.Announcement) {
		for range 2 { // it looks, then a heartbeat comes
			for m := w.s.next(); m != nil; m = w.s.next() {
				for _, a := range m.GetAnnouncements().GetAnnouncements() {
					last = a
				}
			}
			w.s.tick()
		}
		return last
	}
	if a := announced(); a == nil || len(a.GetFilter().GetKeys()) != 1 {
		t.Fatalf("announced %v", a)
	}
	l.mu.Lock()
	l.filter = NewFilter(nil, []string{"a", "b"})
	l.notify(moved)
	l.mu.Unlock()
	if a := announced(); a == nil || len(a.GetFilter().GetKeys()) != 2 {
		t.Errorf("announced %v", a)
	}
	if a := announced(); a != nil {
		t.Errorf("announced for nothing: %v", a)
	}
}

func TestMalformedDigestsAreRefused(t *testing.T) {
	pos := &feedpb.Position{Incarnation: 1, Seq: 1}
	for name, o := range map[string]*feedpb.Open{
		"buckets are no power of two": {Stream: 1, Feed: "c/x", Held: pos, Buckets: 3},
		"too many buckets":            {Stream: 1, Feed: "c/x", Held: pos, Buckets: 1 << 20},
		"no number of buckets":        {Stream: 1, Feed: "c/x", Held: pos, Digests: []*feedpb.Digest{{Bucket: 0, Seal: 1}}},
		"a bucket out of range":       {Stream: 1, Feed: "c/x", Held: pos, Buckets: 2, Digests: []*feedpb.Digest{{Bucket: 2, Seal: 1}}},
		"a bucket twice": {Stream: 1, Feed: "c/x", Held: pos, Buckets: 2, Digests: []*feedpb.Digest{
			{Bucket: 1, Seal: 1}, {Bucket: 1, Seal: 1}}},
	} {
		w := wire(t, Options{})
		w.from.Log("c/x").Begin(1, nil)
		w.connect()
		if err := w.s.handle(&feedpb.ReceiverMessage{Message: &feedpb.ReceiverMessage_Open{Open: o}}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestBatchBeyondTheBoundIsDeclined: what is staged is bounded, whoever sends it, and says so.
func TestBatchBeyondTheBoundIsDeclined(t *testing.T) {
	w := wire(t, Options{MaxStaged: 100_000})
	large, small := w.from.Log("c/large"), w.from.Log("c/small")
	large.Begin(1, manyChanges(1000, nil))
	small.Begin(1, manyChanges(100, nil))
	w.connect()
	var told string
	w.r.report = func(_ ID, what string, err error) { told = fmt.Sprint(what, ": ", err) }
	w.r.open("c/large", Filter{})
	w.r.open("c/small", Filter{})
	w.settle()
	if l := w.to.Log("c/large"); !l.Position().IsZero() || l.Len() != 0 {
		t.Error("taken")
	}
	if !strings.Contains(told, "feed declined") || !strings.Contains(told, "more than 100000 bytes") {
		t.Errorf("told %q", told)
	}
	if !equal(small, w.to) || w.r.staged != 0 {
		t.Errorf("the small feed suffers, or %d bytes are counted as staged", w.r.staged)
	}
}
