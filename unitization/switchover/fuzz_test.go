package switchover

import (
	"fmt"
	"testing"
)

// FuzzApply applies events as the bytes have it: no panic, the state's own invariants hold, the epoch never goes
// back, and a refused event changes nothing.
func FuzzApply(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 2, 0, 3, 0, 3, 1, 5, 0, 6, 0, 6, 1, 6, 2, 7, 0, 8, 0})
	f.Add([]byte{0, 4, 1, 4, 2, 4, 4, 0, 6, 2, 6, 1, 6, 1, 7, 4, 0, 9, 1, 9, 2, 9})
	f.Add([]byte{0, 1, 1, 1, 0, 2, 1, 2, 2, 1, 9, 1, 10, 1, 11, 0, 12, 0, 13, 7})
	f.Add([]byte{0, 0, 1, 0, 2, 0, 16, 1, 17, 0, 5, 0, 5, 2, 5, 4, 5, 1, 5, 3, 17, 2, 5, 2, 5, 2, 5, 1, 5, 1})
	f.Add([]byte{16, 1, 0, 5, 17, 0, 0, 13, 1, 13, 2, 1, 4, 1, 7, 1, 16, 2, 0, 14, 1, 14})
	f.Fuzz(func(t *testing.T, data []byte) {
		s := smallState(t)
		for i := 0; i+1 < len(data) && i < 200; i += 2 {
			e := fuzzed(s, data[i], int(data[i+1]))
			if e == nil {
				continue
			}
			before, _ := s.Encode()
			next, problems := s.Apply(e)
			if err := next.Check(); err != nil {
				t.Fatalf("after %T %+v: %v", e, e, err)
			}
			if after, _ := s.Encode(); string(after) != string(before) {
				t.Fatalf("%T %+v changed the state that it was applied to", e, e)
			}
			if after, _ := next.Encode(); len(problems) > 0 && string(after) != string(before) {
				t.Fatalf("%T %+v was refused, and changed the state", e, e)
			}
			if next.Epoch < s.Epoch {
				t.Fatalf("%T %+v: epoch %d after %d", e, e, next.Epoch, s.Epoch)
			}
			for name := range next.Switchovers {
				if next.Waiting(name) == "" {
					t.Fatalf("nothing is said of %s", name)
				}
			}
			s = next
		}
		data2, _ := s.Encode()
		if _, err := DecodeState(data2); err != nil {
			t.Fatal(err)
		}
	})
}

// fuzzed is an event that two bytes stand for, mostly one that may be legal.
func fuzzed(s State, what byte, n int) Event {
	name := []string{"x", "y", "z"}[n%3]
	uid := "uid-" + name
	freeze := uint64(0)
	if sw := s.Switchovers[name]; sw != nil {
		freeze = sw.Freeze
	}
	center := []string{"hz-a", "hz-b", "sh-a", "sh-b", "sz-a"}[n%5]
	switch what % 18 {
	case 0, 1:
		return fuzzedStart(s, name, what%18 == 1, n/3)
	case 2:
		return Freeze{name, uid}
	case 3:
		return AckFreeze{"relay-" + center, freezeOf(s, n/5)}
	case 4:
		return WaitedOut{name, uid, freeze}
	case 5, 6:
		return fuzzedReport(s, n)
	case 7:
		return Commit{name, uid}
	case 8:
		return Converged{Name: name, UID: uid}
	case 9:
		return Abort{Name: name, UID: uid}
	case 10:
		return Retire{name}
	case 11:
		return CloseSession{"relay-" + center}
	case 12:
		return RemoveSession{"relay-" + center}
	case 13:
		return OpenSession{Session{ID: fmt.Sprintf("relay-%s-%d", center, n), Holder: Relay, Name: center,
			Center: center}}
	case 16:
		return Reincarnate{Epoch: s.Epoch + uint64(n%3)*100, Wait: 1}
	case 17:
		return Reconcile{World: smallWorld(), Stores: []string{"s", "t"}[n%3/2:]}
	case 14:
		return []Event{RetireMap{"files"}, RetireStore{"t"}, RetireMap{"shared"}, DeclareMap{Unitization: "files",
			Shards: 4,
			Permit: 7, Baseline: []Range{{From: 0, To: 3, Unit: "v", Cells: []string{"v.hz-a"}}}}}[n%4]
	}
	return []Event{DeclareStore{Store: "t", Members: []string{"sz-a", "sh-b", "hz-a"}, Primary: "hz-a"},
		DeclareStore{Store: "s", Members: []string{"hz-a", "sh-a"}, Primary: "hz-a"}}[n%2]
}

func freezeOf(s State, n int) uint64 {
	for _, sw := range sorted(s.Switchovers) {
		if n--; n < 0 {
			return sw.Freeze
		}
	}
	return 0
}

func fuzzedStart(s State, name string, approve bool, n int) Event {
	requests := []Request{
		evacuateHangzhou, {Mode: Disaster, EvacuateRegion: "hz", AcceptDataLoss: true}, {Mode: Planned,
			ToBaseline: true},
		{Mode: Disaster, EvacuateRegion: "sh", Supersedes: "x", AcceptDataLoss: true}, disasterOfT(BreakGlass),
		moves(MoveRequest{Unitization: "files", Unit: "v", Shards: []Shards{{n % 4, 3}}, ToCenters: []string{"sh-a"}}),
		moves(users("u1", "sh-a", "sh-b")), {Mode: Disaster, EvacuateRegion: "sh", Supersedes: "y",
			AcceptDataLoss: true},
	}
	r := requests[n%len(requests)]
	plan, problems := MakePlan(smallWorld(), s, r)
	if len(problems) > 0 {
		return nil
	}
	if approve {
		return Approve{Name: name, UID: "uid-" + name, Hash: plan.Hash(), Plan: plan}
	}
	return Declare{Name: name, UID: "uid-" + name, Request: r, Plan: plan}
}

func fuzzedReport(s State, n int) Event {
	name := []string{"s", "t"}[n%2]
	store := s.Stores[name]
	if store == nil || store.Order == nil {
		return nil
	}
	return reportOf(s, name, store.Members[n/2%len(store.Members)], Position{1, uint64(n / 8 % 4)})
}
