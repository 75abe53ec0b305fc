package switchover

import (
	"slices"
	"testing"
)

var evacuateHangzhou = Request{Mode: Planned, EvacuateRegion: "hz"}

func TestAPlannedSwitchoverGoesThroughEveryPhase(t *testing.T) {
	s := smallState(t)
	start := s.Epoch
	s = approved(t, s, "x", evacuateHangzhou)
	mustBe(t, s, "x", PhaseApproved)
	if wanted := s.Maps["users"].Wanted; !slices.Equal(wanted, []string{"u1.sh-a", "u1.sh-b", "u2.sh-a"}) ||
		s.Epoch != start {
		t.Fatalf("wanted %v at epoch %d", wanted, s.Epoch)
	}

	s = mustApply(t, s, Freeze{"x", "uid-x"})
	same(t, s, Freeze{"x", "uid-x"})
	r := rangeAt(t, s, "users", 3)
	if !r.Frozen || r.Since != start+1 || !slices.Equal(r.Left, r.Cells) || !s.Stores["s"].Accepting {
		t.Fatalf("frozen as %+v, store %+v", r, s.Stores["s"])
	}
	if r := rangeAt(t, s, "shared", 0); r.Frozen || r.Since == s.Epoch {
		t.Fatalf("what does not move is %+v", r)
	}
	if want := []string{"relay-hz-a", "relay-hz-b"}; !slices.Equal(s.Concerned("x"), want) {
		t.Fatalf("concerned %v", s.Concerned("x"))
	}

	s = acked(t, s, "x")
	mustBe(t, s, "x", PhaseFencing)
	if o := s.Stores["s"].Order; o.Action != Fence || o.Token != start+1 || o.Member != "" || s.Stores["s"].Accepting {
		t.Fatalf("order %+v", o)
	}
	s = report(t, s, "s", "sh-a", Position{1, 7})
	mustBe(t, s, "x", PhaseFencing)
	s = report(t, s, "s", "hz-a", Position{1, 9})
	mustBe(t, s, "x", PhaseCatchingUp)
	if o := s.Stores["s"].Order; o.Action != CatchUp || o.Member != "sh-a" || o.Position != (Position{1, 9}) {
		t.Fatalf("order %+v", o)
	}
	s = report(t, s, "s", "sh-a", Position{1, 8})
	mustBe(t, s, "x", PhaseCatchingUp)
	s = report(t, s, "s", "sh-a", Position{1, 9})
	mustBe(t, s, "x", PhaseCaughtUp)

	s = mustApply(t, s, Commit{"x", "uid-x"})
	same(t, s, Commit{"x", "uid-x"})
	same(t, s, Freeze{"x", "uid-x"})
	mustBe(t, s, "x", PhaseCommitted)
	r = rangeAt(t, s, "users", 3)
	if !r.Frozen || r.Unit != "u1" || !slices.Equal(r.Cells, []string{"u1.sh-a", "u1.sh-b"}) ||
		r.Since != start+2 || r.Left != nil {
		t.Fatalf("committed as %+v", r)
	}
	if o := s.Stores["s"].Order; o.Action != Promote || o.Member != "sh-a" || o.Token != start+2 ||
		s.Stores["s"].Accepting {
		t.Fatalf("order %+v", o)
	}
	if wanted := s.Maps["users"].Wanted; wanted != nil {
		t.Fatalf("still wanted %v", wanted)
	}
	s = report(t, s, "s", "hz-a", Position{1, 9}) // not the one that is asked
	mustBe(t, s, "x", PhaseCommitted)
	s = report(t, s, "s", "sh-a", Position{1, 9})
	mustBe(t, s, "x", PhaseOpened)
	if r := rangeAt(t, s, "users", 3); r.Frozen || r.Since != start+3 {
		t.Fatalf("opened as %+v", r)
	}
	if st := s.Stores["s"]; st.Primary != "sh-a" || !st.Accepting || st.Token != start+3 || st.Order.Action != Open {
		t.Fatalf("opened as %+v", st)
	}
	refused(t, s, Converged{Name: "x", UID: "uid-x"}, "status.phase", "not reported that it is open")
	s = report(t, s, "s", "sh-a", Position{1, 9})
	s = mustApply(t, s, Converged{Name: "x", UID: "uid-x", Message: "all followed"})
	same(t, s, Converged{Name: "x", UID: "uid-x"})
	mustBe(t, s, "x", PhaseDone)
	if r := rangeAt(t, s, "users", 3); r.Lock != "" || s.Stores["s"].Lock != "" || s.Epoch != start+3 {
		t.Fatalf("done with %+v, epoch %d", r, s.Epoch)
	}
}

func TestWithoutAStoreCommitOpensUnderTwoEpochs(t *testing.T) {
	s := smallState(t)
	s = approved(t, s, "x", Request{Mode: Planned, Moves: []MoveRequest{
		{Unitization: "files", Unit: "v", Shards: []Shards{{1, 2}}, ToCenters: []string{"sh-a"}}}})
	s = acked(t, mustApply(t, s, Freeze{"x", "uid-x"}), "x")
	mustBe(t, s, "x", PhaseCaughtUp)
	before := s.Epoch
	s = mustApply(t, s, Commit{"x", "uid-x"})
	mustBe(t, s, "x", PhaseOpened)
	if s.Epoch != before+2 || s.Switchovers["x"].Commit != before+1 || rangeAt(t, s, "files", 1).Since != before+2 {
		t.Fatalf("epoch %d, %+v", s.Epoch, rangeAt(t, s, "files", 1))
	}
	if len(s.Maps["files"].Ranges) != 3 {
		t.Fatalf("ranges %+v", s.Maps["files"].Ranges)
	}
	s = mustApply(t, s, Converged{Name: "x", UID: "uid-x"})
	mustBe(t, s, "x", PhaseDone)
}

func TestOldReportsHaveNoEffect(t *testing.T) {
	s := approved(t, smallState(t), "x", evacuateHangzhou)
	s = acked(t, mustApply(t, s, Freeze{"x", "uid-x"}), "x")
	fence := reportOf(s, "s", "sh-a", Position{1, 1})
	other, lower, foreign, stranger := fence, fence, fence, fence
	other.UID, lower.Report.Token, foreign.Member, stranger.Store = "uid-y", fence.Report.Token-1, "bj-a", "zz"
	for _, e := range []Event{other, lower, foreign, stranger} {
		same(t, s, e)
	}
	s = mustApply(t, s, fence)
	same(t, s, fence)
	s = report(t, s, "s", "hz-a", Position{1, 1})
	mustBe(t, s, "x", PhaseCatchingUp)
	same(t, s, fence)
	mustBe(t, s, "x", PhaseCatchingUp)
}

func TestAbortRollsBackUnderANewEpoch(t *testing.T) {
	base := approved(t, smallState(t), "x", evacuateHangzhou)
	epoch := base.Epoch
	abort := Abort{Name: "x", UID: "uid-x", Reason: "changed my mind"}

	s := mustApply(t, base, abort)
	if s.Epoch != epoch || s.Switchovers["x"].Phase != PhaseAborted || rangeAt(t, s, "users", 0).Lock != "" ||
		s.Maps["users"].Wanted != nil {
		t.Fatalf("approved, aborted: %+v", rangeAt(t, s, "users", 0))
	}
	same(t, s, abort)
	refused(t, s, Freeze{"x", "uid-x"}, "status.phase", "ended")

	frozen := mustApply(t, base, Freeze{"x", "uid-x"})
	s = mustApply(t, frozen, abort)
	if r := rangeAt(t, s, "users", 0); r.Frozen || r.Since != epoch+2 || s.Stores["s"].Order != nil {
		t.Fatalf("frozen, aborted: %+v %+v", r, s.Stores["s"])
	}
	fencing := acked(t, frozen, "x")
	s = mustApply(t, fencing, abort)
	if st := s.Stores["s"]; !st.Accepting || st.Token != epoch+2 || st.Order.Action != Unfence ||
		st.Order.Member != "hz-a" || st.Lock != "" {
		t.Fatalf("fencing, aborted: %+v", st)
	}
	same(t, s, reportOf(fencing, "s", "hz-a", Position{}))
	s = report(t, s, "s", "hz-a", Position{})
	mustBe(t, s, "x", PhaseAborted)
	if s = mustApply(t, s, Retire{"x"}); len(s.Switchovers) != 0 || s.Stores["s"].Order == nil {
		t.Fatal("retired with the order that stands")
	}
}

func TestApprovalBindsToThePlan(t *testing.T) {
	s := declared(t, smallState(t), "x", evacuateHangzhou)
	plan := s.Switchovers["x"].Plan
	hash := plan.Hash()
	other := plan
	other.Moves = plan.Moves[1:]
	refused(t, s, Approve{"x", "uid-x", "beef", "ann", plan}, "planHash", hash)
	refused(t, s, Approve{"x", "uid-x", hash, "ann", other}, "planHash", "declare the switchover again")
	refused(t, s, Approve{"x", "uid-z", hash, "ann", plan}, "metadata.uid", "another one")
	refused(t, s, Approve{"y", "uid-x", hash, "ann", plan}, "metadata.name", "no such")
	for _, e := range []Event{Freeze{"x", "uid-x"}, Commit{"x", "uid-x"}, Converged{"x", "uid-x", ""}} {
		refused(t, s, e, "status.phase", "must be")
	}
	s = mustApply(t, s, Approve{"x", "uid-x", hash, "ann", plan})
	same(t, s, Approve{"x", "uid-x", hash, "ann", plan})
	refused(t, s, WaitedOut{"x", "uid-x", 4}, "spec.mode", "only a Disaster")
}

func TestAPlanThatIsOvertakenIsRefused(t *testing.T) {
	s := declared(t, smallState(t), "x", evacuateHangzhou)
	plan := s.Switchovers["x"].Plan
	s = committed(t, s, "y", evacuateHangzhou)
	refused(t, s, Approve{"x", "uid-x", plan.Hash(), "ann", plan}, "status.plan[1]", "declare the switchover again")
	s = report(t, s, "s", "sh-a", Position{1, 9})
	refused(t, s, Approve{"x", "uid-x", plan.Hash(), "ann", plan}, "status.storePlan[0]",
		"declare the switchover again")
}

func TestTwoSwitchoversShareNothing(t *testing.T) {
	s := smallState(t)
	u1 := Request{Mode: Planned, Moves: []MoveRequest{{Unitization: "users", Unit: "u1", ToCenters: []string{"sh-a"}}}}
	part := func(from, to int) Request {
		return Request{Mode: Planned, Moves: []MoveRequest{{Unitization: "files", Unit: "v",
			ToCenters: []string{"sh-a"},
			Shards:    []Shards{{from, to}}}}}
	}
	two := declared(t, declared(t, s, "x", u1), "y", evacuateHangzhou)
	plan := two.Switchovers["y"].Plan
	x := two.Switchovers["x"].Plan
	two = mustApply(t, two, Approve{"x", "uid-x", x.Hash(), "ann", x})
	refused(t, two, Approve{"y", "uid-y", plan.Hash(), "ann", plan}, "spec", "store is in switchover x")
	refused(t, two, Approve{"y", "uid-y", plan.Hash(), "ann", plan}, "spec", "are in switchover x")
	refused(t, two, Declare{"z", "uid-z", evacuateHangzhou, plan}, "spec", "store is in switchover x")
	_, problems := MakePlan(smallWorld(), two, evacuateHangzhou)
	mustName(t, problems, "spec", "store is in switchover x")

	s = approved(t, s, "x", part(0, 1))
	_, problems = MakePlan(smallWorld(), s, part(2, 3))
	mustName(t, problems, "spec", "unit is in switchover x")
	_, problems = MakePlan(smallWorld(), s, part(1, 3))
	mustName(t, problems, "spec", "shards 1 of files are in switchover x")
	s = approved(t, s, "y", u1)
	mustBe(t, s, "y", PhaseApproved)
}

func TestDeclareAndRetire(t *testing.T) {
	s := smallState(t)
	refused(t, s, Declare{"x", "u", evacuateHangzhou, Plan{}}, "spec", "nothing to move")
	plan, _ := MakePlan(smallWorld(), s, evacuateHangzhou)
	s = declared(t, s, "x", evacuateHangzhou)
	same(t, s, Declare{"x", "uid-x", evacuateHangzhou, plan})
	refused(t, s, Declare{"x", "uid-y", evacuateHangzhou, plan}, "metadata.name", "exists")
	refused(t, s, RetireMap{"users"}, "metadata.name", "switchover x")
	refused(t, s, RetireStore{"s"}, "metadata.name", "switchover x")
	s = mustApply(t, s, Retire{"x"})
	same(t, s, Retire{"x"})
	s = mustApply(t, s, RetireMap{"users"}, RetireStore{"s"})
	same(t, s, RetireMap{"users"})
	same(t, s, RetireStore{"s"})
	bad := plan
	bad.Stores = []StoreMove{{"s", "sz-a", "hz-a"}}
	refused(t, s, Declare{"x", "u", evacuateHangzhou, bad}, "status.storePlan[0]", "no such store")
	refused(t, s, Declare{"x", "u", evacuateHangzhou, bad}, "status.plan[1]", "no such map")
}
