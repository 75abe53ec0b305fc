package feed

import (
	"bytes"
	"errors"
	"maps"
	"testing"

	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/federation/feed/feedpb"
)

// FuzzFrame gives a receiving half any two messages after a good open: it must not panic, and what it shows afterwards
// must be a whole step to a later position, in order and with its seal right.
func FuzzFrame(f *testing.F) {
	at := func(seq uint64) *feedpb.Position { return &feedpb.Position{Incarnation: 1, Seq: seq} }
	for _, m := range []*feedpb.SenderMessage{
		{},
		{Message: &feedpb.SenderMessage_Frame{Frame: &feedpb.Frame{
			Stream: 1, To: at(3), Reset_: true, Commit: true,
			Records: []*feedpb.Record{
				{Kind: "k", Key: "b", Deleted: true, At: at(2)}, {Kind: "k", Key: "a", Value: []byte("2"), At: at(3)},
			},
			Life: &feedpb.Life{Heard: true, AgeUs: 5, Fresh: true, Mark: at(1)},
		}}},
		{Message: &feedpb.SenderMessage_Frame{Frame: &feedpb.Frame{Stream: 1, From: at(2), To: at(4)}}},
		{Message: &feedpb.SenderMessage_Frame{Frame: &feedpb.Frame{Stream: 1, From: at(2), To: at(4), Commit: true}}},
		{Message: &feedpb.SenderMessage_Progresses{Progresses: &feedpb.Progresses{
			Progresses: []*feedpb.Progress{{Stream: 1, Position: at(2), Sealed: true, Seal: 7}}}}},
		announcementsOf(&feedpb.Announcement{Feed: "c/x", Position: at(9), Home: true}),
		{Message: &feedpb.SenderMessage_Closed{Closed: &feedpb.Closed{Stream: 1, Reason: 6}}},
	} {
		f.Add(encode(m), encode(m))
	}
	// A reset that keeps buckets as they are, one that keeps what is not so, and one that names a record twice.
	kept := fuzzedCopy().proto()
	twice := &feedpb.Record{Kind: "k", Key: "d", Value: []byte("9"), At: at(7)}
	for _, reset := range []*feedpb.Frame{
		{Stream: 1, To: at(9), Reset_: true, Commit: true, Kept: kept},
		{Stream: 1, To: at(9), Reset_: true, Commit: true, Kept: kept[:1], Records: []*feedpb.Record{twice}},
		{Stream: 1, To: at(9), Reset_: true, Commit: true, Kept: kept[:1], Records: []*feedpb.Record{twice, twice}},
		{Stream: 1, To: at(9), Reset_: true, Commit: true, Kept: []*feedpb.Digest{{Bucket: 1, Seal: 5}, {Bucket: 9, Seal: 5}}},
		{Stream: 1, From: at(2), To: at(9), Commit: true, Kept: kept},
	} {
		m := encode(&feedpb.SenderMessage{Message: &feedpb.SenderMessage_Frame{Frame: reset}})
		f.Add(m, m)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		w := wire(t, Options{bucketRecords: 1})
		l := w.to.Log("c/x")
		l.Begin(1, []Change{change("a", "1"), change("b", "1")})
		l.Commit(change("c", "1"))
		l.Resign()
		w.connect()
		w.r.open("c/x", Filter{})
		w.back()
		held := l.Position()
		for _, b := range [][]byte{first, second} {
			m := &feedpb.SenderMessage{}
			if proto.Unmarshal(b, m) != nil {
				return
			}
			if _, err := w.r.handle(m); err != nil && !errors.Is(err, errMalformed) {
				t.Fatal(err)
			}
			if l.Position().Before(held) {
				t.Fatalf("went back from %s to %s", held, l.Position())
			}
			held = l.Position()
			consistent(t, l)
		}
		w.r.tick()
		for m := w.r.next(); m != nil; m = w.r.next() {
			if o := m.GetOpen(); o != nil && positionOf(o.GetHeld()) != l.Position() {
				t.Fatalf("opens with %s, held %s", positionOf(o.GetHeld()), l.Position())
			}
		}
	})
}

// fuzzedCopy are the digests of the copy that FuzzFrame begins with.
func fuzzedCopy() digests {
	l := NewLog("c/x", Filter{}, Options{})
	l.Begin(1, []Change{change("a", "1"), change("b", "1")})
	l.Commit(change("c", "1"))
	return digestsOf(l.listed(true), Filter{}, bucketsFor(3, 1), 0)
}

// FuzzAcks gives a sending half any two messages: it must not panic.
func FuzzAcks(f *testing.F) {
	for _, m := range []*feedpb.ReceiverMessage{
		{},
		{Message: &feedpb.ReceiverMessage_Open{Open: &feedpb.Open{
			Stream: 1, Feed: "c/x", Filter: &feedpb.Filter{Keys: []string{"a"}}, Highest: &feedpb.Position{Incarnation: 9}}}},
		{Message: &feedpb.ReceiverMessage_Open{Open: &feedpb.Open{Stream: 1, Feed: "c/x", Again: true}}},
		{Message: &feedpb.ReceiverMessage_Open{Open: &feedpb.Open{
			Stream: 1, Feed: "c/x", Again: true, Held: &feedpb.Position{Incarnation: 1}, Buckets: 4,
			Digests: fuzzedCopy().proto(),
		}}},
		{Message: &feedpb.ReceiverMessage_Ack{Ack: &feedpb.Ack{Stream: 1, Frames: 1}}},
		{Message: &feedpb.ReceiverMessage_Close{Close: &feedpb.Closed{Stream: 1}}},
	} {
		f.Add(encode(m), encode(m))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		w := wire(t, Options{})
		l := w.from.Log("c/x")
		l.Begin(1, []Change{change("a", "1"), change("b", "1")})
		w.connect()
		for _, b := range [][]byte{first, second} {
			m := &feedpb.ReceiverMessage{}
			if proto.Unmarshal(b, m) != nil {
				return
			}
			if err := w.s.handle(m); err != nil && !errors.Is(err, errMalformed) {
				t.Fatal(err)
			}
			l.Commit(change("a", string(b)))
			w.s.tick()
			for range 100 {
				if w.s.next() == nil {
					break
				}
			}
		}
	})
}

// FuzzSnapshot reads any file: it is refused as corrupt, or is a consistent log that writes itself again.
func FuzzSnapshot(f *testing.F) {
	l := NewLog("c/x", NewFilter([]string{"k"}, []string{"a", "b"}), Options{})
	l.Begin(1, []Change{change("a", "1"), change("b", "")})
	l.Commit(gone("a"))
	var b bytes.Buffer
	if _, err := l.writeSnapshot(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:b.Len()-3])
	f.Add([]byte(snapshotMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := readSnapshot(bytes.NewReader(data), Options{})
		if err != nil {
			if !errors.Is(err, ErrCorrupt) || l != nil {
				t.Fatalf("%v, log %v", err, l)
			}
			return
		}
		consistent(t, l)
		var b bytes.Buffer
		if _, err := l.writeSnapshot(&b); err != nil {
			t.Fatal(err)
		}
		again, err := readSnapshot(&b, Options{})
		if err != nil || again.version() != l.version() || !maps.Equal(contents(again), contents(l)) {
			t.Fatalf("written and read again: %v", err)
		}
	})
}

// FuzzRemoval reads any file as the mark of a removal: it is refused as corrupt, or says what it was written from.
func FuzzRemoval(f *testing.F) {
	var b bytes.Buffer
	if err := writeRemoval(&b, "c/x", Position{5, 7}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:b.Len()-1])
	f.Add([]byte(removalMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		id, at, err := readRemoval(bytes.NewReader(data))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) || id != "" || !at.IsZero() {
				t.Fatalf("%v, feed %s at %s", err, id, at)
			}
			return
		}
		var b bytes.Buffer
		if err := writeRemoval(&b, id, at); err != nil {
			t.Fatal(err)
		}
		if again, pos, err := readRemoval(&b); err != nil || again != id || pos != at {
			t.Fatalf("written and read again: %s at %s, %v", again, pos, err)
		}
	})
}

// consistent demands that a log's list, maps and sums agree.
func consistent(t *testing.T, l *Log) {
	t.Helper()
	l.mu.RLock()
	defer l.mu.RUnlock()
	var seal Seal
	live, dead, last := 0, 0, Position{}
	for n := l.table.root.next; n != &l.table.root; n = n.next {
		if n.At.Before(last) || l.pos.Before(n.At) || l.table.get(n.Kind, n.Key) != n {
			t.Fatalf("%s %q at %s out of place in %s@%s", n.Kind, n.Key, n.At, l.id, l.pos)
		}
		last = n.At
		if seal += n.mix(); n.Value == nil {
			dead++
		} else {
			live++
		}
	}
	keys := 0
	for _, k := range l.table.kinds {
		keys += len(k.keys)
	}
	if live != l.table.live || dead != l.table.dead.count || seal != l.table.seal || keys != live+dead {
		t.Fatalf("live %d of %d, dead %d of %d, keys %d, seal %s of %s", live, l.table.live, dead, l.table.dead.count, keys,
			seal, l.table.seal)
	}
}
