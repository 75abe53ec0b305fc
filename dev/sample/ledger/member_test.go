package ledger

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pentad.dev/pentad/dev/sample/ledger/ledgerpb"
	"pentad.dev/pentad/dev/sample/record"
	"pentad.dev/pentad/unitization/fence"
)

// TestWritesSurviveMovesKillsAndCuts is the life of a store, with writers all along.
func TestWritesSurviveMovesKillsAndCuts(t *testing.T) {
	e := newEstate(t)
	acknowledged, stop := e.writers(8)
	accepts := func(name string) func() bool {
		return func() bool { return e.members[name].member.State().GetAccepting() }
	}

	eventually(t, "first primary, by its permit alone", accepts("hz"))
	time.Sleep(200 * time.Millisecond)
	e.move("sh", "hz", "sh", "sz")
	eventually(t, "planned move", accepts("sh"))
	time.Sleep(200 * time.Millisecond)

	e.kill("sh")
	e.start("sh")
	eventually(t, "restarted primary, by its permit and its token", accepts("sh"))
	time.Sleep(200 * time.Millisecond)

	e.kill("sz") // a replica
	time.Sleep(200 * time.Millisecond)
	e.start("sz")
	time.Sleep(200 * time.Millisecond)

	e.cut("sh", true)
	e.move("hz", "hz", "sz") // a disaster: the old primary is never fenced
	eventually(t, "taken over", accepts("hz"))
	if s := e.members["sh"].member.State(); s.GetAccepting() && s.GetPermitLeftMs() == 0 {
		t.Errorf("the old primary accepts without a permit: %v", s)
	}
	time.Sleep(holds + 100*time.Millisecond)
	if accepts("sh")() {
		t.Error("the old primary accepts after its permit's end")
	}
	e.cut("sh", false)
	// Its agent obeys late; the new primary may have told it of the later token before.
	late := fence.Request{Store: simStore, Member: "sh", Token: e.epoch - 2}
	if _, err := e.members["sh"].driver.Fence(t.Context(), late); err != nil && !errors.Is(err, fence.ErrLowerToken) {
		t.Errorf("a late fence: %v", err)
	}
	if s := e.members["sh"].member.State(); s.GetToken() < late.Token || s.GetAccepting() {
		t.Errorf("after a late fence at token %d: %v", late.Token, s)
	}
	taken := acknowledged()
	eventually(t, "acknowledged writes", func() bool { return acknowledged() >= max(100, taken+10) })
	acked := stop()
	for _, name := range simNames {
		e.stop(name)
	}
	judge(t, e, acked, "hz")
}

// judge looks for every acknowledged write in the primary's log, once, and for times at which two members took writes.
func judge(t *testing.T, e *estate, acked map[string]*ledgerpb.AppendResponse, primary string) {
	t.Helper()
	entries, err := ReadLog(filepath.Join(e.dir, primary))
	check(t, err)
	count := map[string]int{}
	for _, entry := range entries {
		if entry.ID != "" {
			count[entry.ID]++
		}
	}
	for id, answer := range acked {
		if count[id] != 1 {
			t.Errorf("%s, acknowledged at %v by %s, is there %d times", id, answer.GetPosition(), answer.GetMember(), count[id])
		}
	}
	type period struct {
		member   string
		token    uint64
		from, to record.Time
	}
	var periods []period
	for _, name := range simNames {
		events, err := ReadEvents(filepath.Join(e.dir, name))
		check(t, err)
		for i, ev := range events {
			if ev.What != Opened {
				continue
			}
			p := period{member: name, token: ev.Token, from: ev.At, to: record.Now()}
			if i+1 < len(events) {
				p.to = events[i+1].At // closed, or started again
			}
			periods = append(periods, p)
		}
	}
	slices.SortFunc(periods, func(a, b period) int { return int(a.from - b.from) })
	tokens := map[uint64]string{}
	for _, p := range periods {
		t.Logf("%s took writes under token %d for %s", p.member, p.token, p.to.Sub(p.from))
		if by, there := tokens[p.token]; there && by != p.member {
			t.Errorf("%s and %s took writes under token %d", by, p.member, p.token)
		}
		tokens[p.token] = p.member
	}
	t.Logf("%d writes acknowledged, %d entries", len(acked), len(entries))
	if len(tokens) < 3 {
		t.Errorf("writes were taken under %d tokens only", len(tokens))
	}
}

func TestARolledBackMoveOpensTheOldPrimary(t *testing.T) {
	e := newEstate(t)
	_, stop := e.writers(2)
	eventually(t, "primary", func() bool { return e.members["hz"].member.State().GetAccepting() })
	e.permit("", 0)
	at := e.obey("hz", fence.Fence, 11, fence.Position{})
	e.obey("sz", fence.Fence, 11, fence.Position{})
	e.obey("sh", fence.CatchUp, 11, at.Position)
	e.permit("hz", 12)
	e.obey("hz", fence.Unfence, 12, fence.Position{})
	before := e.members["hz"].member.State().GetPosition().GetIndex()
	eventually(t, "writes", func() bool { return e.members["hz"].member.State().GetPosition().GetIndex() > before+5 })
	late := fence.Request{Store: simStore, Member: "sh", Token: 10}
	if _, err := e.members["sh"].driver.Promote(t.Context(), late); !errors.Is(err, fence.ErrLowerToken) {
		t.Errorf("a late order: %v, want ErrLowerToken", err)
	}
	stop()
}

func TestAWrittenOnceWriteIsFoundAndNotWrittenAgain(t *testing.T) {
	e := newEstate(t)
	client, err := NewClient(ClientConfig{Store: simStore, Members: e.peers(""), Patience: soon})
	check(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	w := &ledgerpb.Write{Id: "a", Shard: 7, Key: "1007", Since: 3, Payload: []byte("x")}
	first, err := client.Append(ctx, w)
	check(t, err)
	again, err := client.Append(ctx, w)
	check(t, err)
	if !again.GetRepeated() || again.GetPosition().GetIndex() != first.GetPosition().GetIndex() ||
		first.GetMember() != "hz" {
		t.Errorf("first %v, again %v", first, again)
	}
	for _, ask := range []*ledgerpb.FindRequest{{Id: "a"}, {Shard: 7}} {
		var found *ledgerpb.FindResponse
		eventually(t, "answer of a member that has heard of it", func() bool {
			found, err = client.Find(ctx, ask)
			return err == nil && len(found.GetEntries()) > 0
		})
		if len(found.GetEntries()) != 1 || found.GetEntries()[0].GetWrite().GetKey() != "1007" {
			t.Errorf("found %v", found)
		}
	}
	if _, err := client.Append(ctx, &ledgerpb.Write{}); err == nil {
		t.Error("a write without id is taken")
	}
}

// BenchmarkAppend is what a member's group commit makes of many writers.
func BenchmarkAppend(b *testing.B) {
	e := newEstate(b)
	client, err := NewClient(ClientConfig{Store: simStore, Members: e.peers(""), Patience: soon})
	check(b, err)
	defer client.Close()
	eventually(b, "primary", func() bool { return e.members["hz"].member.State().GetAccepting() })
	b.SetParallelism(32)
	run := record.Now()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			id := record.Now().Sub(run).String() + time.Now().String()
			if _, err := client.Append(context.Background(), &ledgerpb.Write{Id: id, Since: everyEpoch, Payload: make([]byte, 100)}); err != nil {
				b.Error(err)
			}
		}
	})
}

// Handlers may outlive the servers that a member stops.
func TestAStoppedMemberLetsNobodyAtItsFiles(t *testing.T) {
	e := newEstate(t)
	e.stop("sz")
	if err := e.members["sz"].member.do(func(*core) { t.Error("a late handler is at the core") }); !errors.Is(err, errStopped) {
		t.Errorf("got %v, want %v", err, errStopped)
	}
}
