package permit

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"pentad.dev/pentad/unitization/permit/permitpb"
)

func TestAnswersThatCannotBeAreRefused(t *testing.T) {
	good := func() *permitpb.Answer {
		return &permitpb.Answer{Number: 1, Revision: 4, HoldsNs: int64(time.Second), Maps: []*permitpb.Map{users(2, 2)},
			Stores: []*permitpb.StorePermit{{Store: "o"}}}
	}
	if _, err := FromAnswer(Instant{}, good()); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*permitpb.Answer){
		"holds is negative":     func(a *permitpb.Answer) { a.HoldsNs = -1 },
		"holds is too long":     func(a *permitpb.Answer) { a.HoldsNs = int64(Longest) + 1 },
		"no revision":           func(a *permitpb.Answer) { a.Revision = 0 },
		"a map twice":           func(a *permitpb.Answer) { a.Maps = append(a.Maps, a.Maps[0]) },
		"a map without a name":  func(a *permitpb.Answer) { a.Maps[0].Unitization = "" },
		"no shards":             func(a *permitpb.Answer) { a.Maps[0].Shards = 0 },
		"too many shards":       func(a *permitpb.Answer) { a.Maps[0].Shards = 1 << 20 },
		"no epoch":              func(a *permitpb.Answer) { a.Maps[0].Epoch = 0 },
		"a shard without range": func(a *permitpb.Answer) { a.Maps[0].Ranges[1].From = 3 },
		"a shard twice":         func(a *permitpb.Answer) { a.Maps[0].Ranges[1].From = 1 },
		"the last is missing":   func(a *permitpb.Answer) { a.Maps[0].Ranges[1].To = 2 },
		"past the last":         func(a *permitpb.Answer) { a.Maps[0].Ranges[1].To = 4 },
		"turned around":         func(a *permitpb.Answer) { a.Maps[0].Ranges[1].To = 1 },
		"no unit":               func(a *permitpb.Answer) { a.Maps[0].Ranges[1].Unit = "" },
		"no since":              func(a *permitpb.Answer) { a.Maps[0].Ranges[1].Since = 0 },
		"since after epoch":     func(a *permitpb.Answer) { a.Maps[0].Ranges[1].Since = 3 },
		"no ranges":             func(a *permitpb.Answer) { a.Maps[0].Ranges = nil },
		"a store twice":         func(a *permitpb.Answer) { a.Stores = append(a.Stores, a.Stores[0]) },
		"a store without name":  func(a *permitpb.Answer) { a.Stores[0].Store = "" },
	} {
		a := good()
		spoil(a)
		if _, err := FromAnswer(Instant{}, a); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOnlyTheAnswerToTheAskUnderWayCounts(t *testing.T) {
	var k Asker
	answer := func(number uint64) *permitpb.Answer {
		return &permitpb.Answer{Number: number, Revision: 1, HoldsNs: int64(time.Second)}
	}
	first := k.Ask(InstantAt(time.Second, 0))
	second := k.Ask(InstantAt(2*time.Second, 0))
	if _, err := k.Take(answer(first), Instant{}); !errors.Is(err, ErrMalformed) {
		t.Errorf("an answer to an ask that was given up: %v", err)
	}
	p, err := k.Take(answer(second), InstantAt(9*time.Second, 0))
	if err != nil || p.Asked != InstantAt(2*time.Second, 0) {
		t.Errorf("permit %+v, %v: want it counted from its ask", p, err)
	}
	if _, err := k.Take(answer(second), Instant{}); !errors.Is(err, ErrMalformed) {
		t.Errorf("the same answer again: %v", err)
	}
}

// FuzzFromAnswer: whatever arrives, a permit that is taken holds for no longer than allowed and its maps are total.
func FuzzFromAnswer(f *testing.F) {
	seed, _ := proto.Marshal(&permitpb.Answer{Number: 1, Revision: 4, HoldsNs: 5e9, Maps: []*permitpb.Map{users(2, 2)}})
	f.Add(seed)
	f.Fuzz(func(t *testing.T, wire []byte) {
		var a permitpb.Answer
		if proto.Unmarshal(wire, &a) != nil {
			return
		}
		p, err := FromAnswer(Instant{}, &a)
		if err != nil {
			return
		}
		if p.Holds < 0 || p.Holds > Longest {
			t.Errorf("holds %s", p.Holds)
		}
		for _, m := range p.Maps {
			owners := make([]int, m.GetShards())
			for _, r := range m.GetRanges() {
				for shard := r.GetFrom(); shard <= r.GetTo(); shard++ {
					owners[shard]++
				}
			}
			for shard, n := range owners {
				if n != 1 {
					t.Errorf("%s: shard %d is in %d ranges", m.GetUnitization(), shard, n)
				}
			}
		}
	})
}
