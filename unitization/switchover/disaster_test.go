package switchover

import (
	"slices"
	"strings"
	"testing"
)

// TestACellThatLeavesClosesNoStore is rule 18; in a Disaster the cell may have left writes in flight.
func TestACellThatLeavesClosesNoStore(t *testing.T) {
	leave := Request{Mode: Planned, EvacuateCenter: "hz-b"}
	plan, problems := MakePlan(smallWorld(), smallState(t), leave)
	if len(problems) > 0 || len(plan.Stores) != 0 || len(plan.Moves) != 3 {
		t.Fatalf("planned %+v %v", plan, problems)
	}
	leave.Mode = Disaster
	plan, problems = MakePlan(smallWorld(), smallState(t), leave)
	if len(problems) > 0 || !slices.Equal(plan.Stores, []StoreMove{{"s", "hz-a", "hz-a"}}) {
		t.Fatalf("planned %+v %v", plan, problems)
	}
}

func TestADisasterWaitsForTheEndOfPermits(t *testing.T) {
	s := smallState(t)
	s = approved(t, s, "x", Request{Mode: Disaster, EvacuateRegion: "hz"})
	s = mustApply(t, s, Freeze{"x", "uid-x"})
	freeze := s.Switchovers["x"].Freeze
	if s.Stores["s"].Accepting {
		t.Fatal("the old primary may still have a permit")
	}
	refused(t, s, WaitedOut{"x", "uid-x", freeze + 1}, "freeze", "is")
	waited := WaitedOut{"x", "uid-x", freeze}
	s = mustApply(t, s, waited)
	same(t, s, waited)
	mustBe(t, s, "x", PhaseFencing)
	s = report(t, s, "s", "sz-a", Position{1, 4})
	mustBe(t, s, "x", PhaseFencing) // no majority yet
	s = report(t, s, "s", "sh-a", Position{1, 5})
	mustBe(t, s, "x", PhaseCatchingUp)
	if p := s.Stores["s"].Order.Position; p != (Position{1, 5}) {
		t.Fatalf("catches up to %v", p)
	}
	if s.Stores["s"].TwoWritersPossible != "" {
		t.Fatal("nobody broke the glass")
	}
}

func TestAcksThenWaitingForTheStoresPermit(t *testing.T) {
	s := smallState(t)
	s = approved(t, s, "x", Request{Mode: Disaster, EvacuateRegion: "hz"})
	s = acked(t, mustApply(t, s, Freeze{"x", "uid-x"}), "x")
	s = report(t, s, "s", "sz-a", Position{1, 4})
	s = report(t, s, "s", "sh-a", Position{1, 5})
	mustBe(t, s, "x", PhaseFencing) // of the old primary itself there is no evidence
	s = mustApply(t, s, WaitedOut{"x", "uid-x", s.Switchovers["x"].Freeze})
	mustBe(t, s, "x", PhaseCatchingUp)
}

// disasterOfT moves the asynchronous store that holds no permit.
func disasterOfT(fact Fact) Request {
	return Request{Mode: Disaster, EvacuateRegion: "sz", AcceptDataLoss: true, Facts: map[string]Fact{"t": fact}}
}

func TestFactsReplaceTheOldPrimary(t *testing.T) {
	for _, fact := range []Fact{0, PoweredOff, BreakGlass} {
		r := disasterOfT(fact)
		if fact == 0 {
			r.Facts = nil
		}
		s := approved(t, smallState(t), "x", r)
		s = mustApply(t, s, Freeze{"x", "uid-x"}, WaitedOut{"x", "uid-x", s.Epoch + 1})
		mustBe(t, s, "x", PhaseFencing)
		if fact == 0 && !strings.Contains(s.Waiting("x"), "spec.oldPrimaries") {
			t.Fatalf("waits for %s", s.Waiting("x"))
		}
		s = report(t, s, "t", "sh-b", Position{1, 5})
		want, glass := PhaseCatchingUp, ""
		switch fact {
		case 0:
			want = PhaseFencing
		case BreakGlass:
			glass = "x"
		}
		mustBe(t, s, "x", want)
		if got := s.Stores["t"].TwoWritersPossible; got != glass {
			t.Fatalf("%s: two writers possible by %q, want %q", fact, got, glass)
		}
	}
}

func TestBreakGlassIsNotRecordedWhenTheOldPrimaryReported(t *testing.T) {
	s := approved(t, smallState(t), "x", disasterOfT(BreakGlass))
	s = acked(t, mustApply(t, s, Freeze{"x", "uid-x"}), "x")
	s = report(t, s, "t", "sz-a", Position{1, 5})
	s = report(t, s, "t", "sh-b", Position{1, 5})
	mustBe(t, s, "x", PhaseCatchingUp)
	if s.Stores["t"].TwoWritersPossible != "" {
		t.Fatal("recorded")
	}
}
