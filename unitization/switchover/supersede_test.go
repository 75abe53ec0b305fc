package switchover

import (
	"testing"
)

// committed is a switchover of hz to sh, of which only the commit is decided.
func committed(t testing.TB, s State, name string, r Request) State {
	t.Helper()
	s = approved(t, s, name, r)
	s = acked(t, mustApply(t, s, Freeze{name, "uid-" + name}), name)
	for _, member := range s.Stores["s"].Members {
		if s.Switchovers[name].Phase == PhaseFencing {
			s = report(t, s, "s", member, Position{1, 9})
		}
	}
	s = report(t, s, "s", s.Stores["s"].Order.Member, Position{1, 9})
	return mustApply(t, s, Commit{name, "uid-" + name})
}

func TestPastCommitTheWayIsForward(t *testing.T) {
	s := committed(t, smallState(t), "x", evacuateHangzhou)
	refused(t, s, Abort{Name: "x", UID: "uid-x"}, "status.phase", "no way back")
	s = report(t, s, "s", "sh-a", Position{1, 9})
	refused(t, s, Abort{Name: "x", UID: "uid-x"}, "status.phase", "no way back")
	refused(t, s, Retire{"x"}, "status.phase", "running")
}

func TestADisasterSupersedesWhatIsPastItsCommit(t *testing.T) {
	s := smallState(t)
	r := Request{Mode: Disaster, EvacuateRegion: "sh", Supersedes: "x"}
	frozen := mustApply(t, approved(t, s, "x", evacuateHangzhou), Freeze{"x", "uid-x"})
	_, problems := MakePlan(smallWorld(), frozen, r)
	mustName(t, problems, "spec.supersedes", "past its commit")
	_, problems = MakePlan(smallWorld(), frozen, Request{Mode: Planned, EvacuateRegion: "sh", Supersedes: "x"})
	mustName(t, problems, "spec.supersedes", "only a Disaster")
	_, problems = MakePlan(smallWorld(), frozen, Request{Mode: Disaster, EvacuateRegion: "sh", Supersedes: "y"})
	mustName(t, problems, "spec.supersedes", "no such switchover")

	s = committed(t, s, "x", evacuateHangzhou)
	promote := reportOf(s, "s", "sh-a", Position{1, 9})
	s = approved(t, s, "y", r)
	mustBe(t, s, "x", PhaseSuperseded)
	same(t, s, promote) // too late
	if s.Stores["s"].Lock != "y" || rangeAt(t, s, "users", 0).Lock != "y" || rangeAt(t, s, "files", 0).Lock != "y" {
		t.Fatalf("locks: %+v", s.Maps)
	}
	refused(t, s, Abort{Name: "y", UID: "uid-y"}, "status.phase", "no way back")
	s = mustApply(t, s, Freeze{"y", "uid-y"})
	s = mustApply(t, s, WaitedOut{"y", "uid-y", s.Epoch})
	s = report(t, s, "s", "sz-a", Position{1, 9})
	s = report(t, s, "s", "hz-a", Position{1, 9}) // sh-a never answers: that the store is closed is known from x
	mustBe(t, s, "y", PhaseCatchingUp)
	s = report(t, s, "s", "hz-a", Position{1, 9})
	s = mustApply(t, s, Commit{"y", "uid-y"})
	s = report(t, s, "s", "hz-a", Position{1, 9})
	mustBe(t, s, "y", PhaseOpened)
	if st, r := s.Stores["s"], rangeAt(t, s, "users", 0); st.Primary != "hz-a" || r.Frozen || r.Unit != "u1" {
		t.Fatalf("opened as %+v %+v", st, r)
	}
}

func TestAnOpenedSwitchoverIsSupersededToo(t *testing.T) {
	s := committed(t, smallState(t), "x", evacuateHangzhou)
	s = report(t, s, "s", "sh-a", Position{1, 9})
	mustBe(t, s, "x", PhaseOpened)
	s = approved(t, s, "y", Request{Mode: Disaster, EvacuateRegion: "sh", Supersedes: "x"})
	s = mustApply(t, s, Freeze{"y", "uid-y"})
	epoch := s.Epoch
	s = mustApply(t, s, Abort{Name: "y", UID: "uid-y"})
	if st := s.Stores["s"]; st.Primary != "sh-a" || !st.Accepting || st.Token != epoch+1 || st.Order.Member != "sh-a" {
		t.Fatalf("aborted: %+v", st)
	}
}
