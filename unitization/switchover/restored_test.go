package switchover

import (
	"strings"
	"testing"
	"time"
)

// restoredState is the small estate, restored, with the stores' members ordered to close.
func restoredState(t *testing.T) State {
	t.Helper()
	s := mustApply(t, smallState(t), Reincarnate{Epoch: 1000, Wait: time.Minute})
	return mustApply(t, s, Reconcile{World: smallWorld()})
}

// fencedAt has a member of a store report that it is closed.
func fencedAt(s State, store, member string, at Position, primary bool, before uint64) StoreReported {
	e := reportOf(s, store, member, at)
	e.Report.Primary, e.Report.Before = primary, before
	return e
}

func says(t *testing.T, s State, want string) {
	t.Helper()
	if said := strings.Join(s.Reconciling(), "\n"); !strings.Contains(said, want) {
		t.Errorf("it says\n%s\nand not %q", said, want)
	}
}

func TestANewLifeBeginsClosed(t *testing.T) {
	s := frozen(t, Planned)
	refused(t, s, Reincarnate{Epoch: s.Epoch}, "epoch", "must be above")
	s = mustApply(t, s, Reincarnate{Epoch: 1000, Wait: time.Minute})
	if len(s.Sessions) != 0 || s.Epoch != 1000 {
		t.Errorf("%d sessions, epoch %d", len(s.Sessions), s.Epoch)
	}
	if sw := s.Switchovers["x"]; sw.Phase != PhaseAborted || !strings.Contains(sw.Message, "in phase Frozen: the estate was restored") {
		t.Errorf("the switchover that ran is %s: %s", sw.Phase, sw.Message)
	}
	for name, m := range s.Maps {
		for _, r := range m.Ranges {
			if !r.restored() || r.Since != 1000 || len(r.Left) > 0 || m.Epoch != 1000 {
				t.Errorf("%s: %+v of epoch %d", name, r, m.Epoch)
			}
		}
	}
	for name, store := range s.Stores {
		if store.Accepting || store.Order != nil || store.Lock != "" {
			t.Errorf("store %s: %+v", name, store)
		}
	}
	says(t, s, "until the leader has waited 1m0s")
	if found := s.Found(); len(found) > 0 {
		t.Errorf("found %v before the wait", found)
	}
}

// frozen is the small estate with switchover x, frozen.
func frozen(t *testing.T, mode Mode) State {
	t.Helper()
	r := moves(users("u1", "sh-a", "sh-b"))
	r.Mode = mode
	plan, problems := MakePlan(smallWorld(), smallState(t), r)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return mustApply(t, smallState(t), Declare{Name: "x", UID: "uid-x", Request: r, Plan: plan},
		Approve{Name: "x", UID: "uid-x", Hash: plan.Hash(), Plan: plan}, Freeze{"x", "uid-x"})
}

// The store was moved after the backup: the map follows it, the token is that of the new life, and who is silent is
// waited for where no permit closes it.
func TestTheMapFollowsTheStore(t *testing.T) {
	s := restoredState(t)
	if o := s.Stores["s"].Order; o.Action != Fence || o.Token != 1000 || o.Member != "" || o.UID != "restored-1000" {
		t.Fatalf("ordered %+v", o)
	}
	says(t, s, "Store s: it waits until a majority of the members reported that they are closed; hz-a, sh-a, sz-a did not")
	says(t, s, "Store t: it waits until sh-b, sz-a reported that it is closed: it may have been the primary. If that cannot be")
	s = mustApply(t, s, fencedAt(s, "s", "hz-a", Position{4, 7}, false, 3), fencedAt(s, "s", "sh-a", Position{6, 5}, true, 7))
	same(t, s, reportOf(smallStateOrdered(t), "s", "sz-a", Position{9, 9})) // of another life
	if found := s.Found(); len(found) != 1 || found["s"] {
		t.Fatalf("found %v: s is, by a majority, t is not", found)
	}
	same(t, s, Reconcile{World: smallWorld()}) // nobody is named
	s = mustApply(t, s, Reconcile{World: smallWorld(), Stores: []string{"s", "t"}})
	if o := s.Stores["s"].Order; o.Action != Promote || o.Member != "sh-a" || o.Token != 1001 {
		t.Fatalf("ordered %+v", o)
	}
	if r := rangeAt(t, s, "users", 0); len(r.Cells) != 1 || r.Cells[0] != "u1.sh-a" || !r.Frozen || r.Since != 1001 {
		t.Errorf("shard 0: %+v", r)
	}
	says(t, s, "Store s: sh-a holds everything, and is to become the primary")
	refused(t, s, RetireMap{"users"}, "metadata.name", "about to be open again")
	s = mustApply(t, s, reportOf(s, "s", "sh-a", Position{6, 5}))
	if r := rangeAt(t, s, "users", 9); r.Frozen || r.Since != 1002 || r.Cells[0] != "u2.sh-a" {
		t.Errorf("shard 9: %+v", r)
	}
	if store := s.Stores["s"]; !store.Accepting || store.Primary != "sh-a" || store.Order.Action != Open || store.Restored {
		t.Errorf("store s: %+v", store)
	}
	s = mustApply(t, s, reportOf(s, "s", "sh-a", Position{6, 5}))
	if s.recovery("s") != nil || s.recovery("t") == nil || rangeAt(t, s, "shared", 0).Frozen == false {
		t.Errorf("s is done, and t is not: %+v", s.Restored)
	}
}

// smallStateOrdered is an older life with an order in force.
func smallStateOrdered(t *testing.T) State {
	t.Helper()
	return mustApply(t, mustApply(t, smallState(t), Reincarnate{Epoch: 500, Wait: 1}), Reconcile{World: smallWorld()})
}

func TestWhoIsThePrimary(t *testing.T) {
	for name, c := range map[string]struct {
		szA, shB Report
		want     string
		why      string
	}{
		"as in the backup, where all hold the same": {Report{}, Report{}, "sz-a", ""},
		"the one that was it last":                  {Report{}, Report{Primary: true, Before: 9}, "sh-b", ""},
		"the later of two":                          {Report{Primary: true, Before: 8}, Report{Primary: true, Before: 9}, "sh-b", ""},
		"the one that holds most":                   {Report{Before: 9}, Report{Position: Position{1, 1}}, "sh-b", ""},
		"nobody, when data has parted": {Report{Position: Position{0, 9}, Primary: true, Before: 2},
			Report{Position: Position{0, 5}, Primary: true, Before: 9}, "", "their data has parted"},
	} {
		t.Run(name, func(t *testing.T) {
			s := restoredState(t)
			for member, r := range map[string]Report{"sz-a": c.szA, "sh-b": c.shB} {
				s = mustApply(t, s, fencedAt(s, "t", member, r.Position, r.Primary, r.Before))
			}
			target, why := (&draft{State: s}).found("t")
			if target != c.want || !strings.Contains(why, c.why) {
				t.Errorf("found %q: %s", target, why)
			}
		})
	}
}

// A unit without a store stays closed until a person says where it is to be, also when that is where it was.
func TestAUnitWithoutAStoreIsDecidedByAPerson(t *testing.T) {
	s := mustApply(t, smallState(t), Reincarnate{Epoch: 1000, Wait: time.Minute})
	r := moves(MoveRequest{Unitization: "files", Unit: "v", ToCenters: []string{"hz-a", "hz-b"}})
	declare := func(s State, mode Mode) Declare {
		r.Mode = mode
		plan, problems := MakePlan(smallWorld(), s, r)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return Declare{Name: "y", UID: "uid-y", Request: r, Plan: plan}
	}
	refused(t, s, declare(s, Disaster), "spec", "permits of before may still hold")
	s = mustApply(t, s, Reconcile{World: smallWorld()})
	says(t, s, "Unitization files: shards 0 to 3 (unit v, cells v.hz-a, v.hz-b) refuse writes as they were restored")
	refused(t, s, declare(s, Planned), "spec.mode", "only a Disaster can say so")
	e := declare(s, Disaster)
	s = mustApply(t, s, e, Approve{Name: "y", UID: "uid-y", Hash: e.Plan.Hash(), Plan: e.Plan})
	refused(t, s, Abort{Name: "y", UID: "uid-y"}, "status.phase", "no way back")
	s = mustApply(t, s, Freeze{"y", "uid-y"}, Commit{"y", "uid-y"}, Converged{Name: "y", UID: "uid-y"})
	if at := rangeAt(t, s, "files", 2); at.Frozen || at.Lock != "" {
		t.Errorf("%+v", at)
	}
}

// What is declared while permits of before may hold begins closed: it may have been there before, and lost.
func TestWhatIsDeclaredAfterARestoreWaitsToo(t *testing.T) {
	s := mustApply(t, smallState(t), Reincarnate{Epoch: 1000, Wait: time.Minute})
	declareMap := func(name string) DeclareMap {
		return DeclareMap{Unitization: name, Shards: 1, Permit: time.Second,
			Baseline: []Range{{Unit: "n", Cells: []string{"n.hz-a"}}}}
	}
	s = mustApply(t, s, declareMap("early"), DeclareStore{Store: "n", Members: []string{"hz-a"}, Primary: "hz-a"})
	if !rangeAt(t, s, "early", 0).Frozen || s.Stores["n"].Accepting {
		t.Error("open at once")
	}
	s = mustApply(t, s, Reconcile{World: smallWorld()}, declareMap("late"),
		DeclareStore{Store: "m", Members: []string{"hz-a", "sh-a"}, Primary: "hz-a"})
	if rangeAt(t, s, "late", 0).Frozen || s.Stores["m"].Order == nil || s.Stores["m"].Order.Action != Fence {
		t.Error("after the wait a map is open, and a store is asked")
	}
	refused(t, s, DeclareStore{Store: "m", Members: []string{"hz-a"}, Primary: "hz-a"}, "spec.members",
		"any member may be the primary")
	s = mustApply(t, s, RetireStore{"m"}, RetireStore{"n"}, RetireMap{"early"})
	if s.recovery("m") != nil || s.recovery("s") == nil {
		t.Errorf("%+v", s.Restored)
	}
}

// A person moves a store whose members are not all within reach: the evidence is of every member, or what is confirmed.
func TestARestoredStoreIsDecidedByAPerson(t *testing.T) {
	s := restoredState(t)
	r := Request{Mode: Disaster, AcceptDataLoss: true, Moves: []MoveRequest{{Unitization: "shared", Unit: "g",
		ToCenters: []string{"sz-a"}, ToPrimary: "sz-a"}}}
	begin := func(s State, r Request) State {
		plan, problems := MakePlan(smallWorld(), s, r)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return mustApply(t, s, Declare{Name: "y", UID: "uid-y", Request: r, Plan: plan},
			Approve{Name: "y", UID: "uid-y", Hash: plan.Hash(), Plan: plan}, Freeze{"y", "uid-y"})
	}
	waits := begin(s, r)
	waits = mustApply(t, waits, reportOf(waits, "t", "sz-a", Position{1, 1}))
	mustBe(t, waits, "y", PhaseFencing)
	if said := waits.Waiting("y"); !strings.Contains(said, "silent are sh-b") {
		t.Error(said)
	}
	waits = mustApply(t, waits, reportOf(waits, "t", "sh-b", Position{1, 1}))
	mustBe(t, waits, "y", PhaseCatchingUp)
	r.Facts = map[string]Fact{"t": PoweredOff}
	s = begin(s, r)
	for _, phase := range []Phase{PhaseCatchingUp, PhaseCaughtUp} {
		s = mustApply(t, s, reportOf(s, "t", "sz-a", Position{1, 1}))
		mustBe(t, s, "y", phase)
	}
	s = mustApply(t, s, Commit{"y", "uid-y"}, reportOf(mustApply(t, s, Commit{"y", "uid-y"}), "t", "sz-a", Position{1, 1}))
	if s.Stores["t"].Restored || !s.Stores["t"].Accepting {
		t.Errorf("store t: %+v", s.Stores["t"])
	}
}

// When everything is open again nothing is left of the restore.
func TestAReconciliationEnds(t *testing.T) {
	s := restoredState(t)
	s = mustApply(t, s, RetireMap{"files"})
	for range 3 {
		for _, name := range []string{"s", "t"} {
			if s.Stores[name].Order.UID != "restored-1000" || s.recovery(name) == nil {
				continue
			}
			for _, member := range s.Stores[name].Members {
				if o := s.Stores[name].Order; o.Member == "" || o.Member == member {
					s = mustApply(t, s, reportOf(s, name, member, Position{1, 1}))
				}
			}
		}
		s = mustApply(t, s, Reconcile{World: smallWorld(), Stores: []string{"s", "t"}})
	}
	if s.Restored != nil {
		t.Fatalf("%+v\n%s", s.Restored, strings.Join(s.Reconciling(), "\n"))
	}
	if encoded, err := s.Encode(); err != nil || strings.Contains(string(encoded), "Restored") {
		t.Errorf("%s, %v", encoded, err)
	}
}
