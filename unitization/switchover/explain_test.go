package switchover

import (
	"strings"
	"testing"
)

func TestWaitingSaysWhatToDo(t *testing.T) {
	says := func(s State, name string, parts ...string) {
		t.Helper()
		got := s.Waiting(name)
		for _, part := range parts {
			if !strings.Contains(got, part) {
				t.Errorf("%s: %q, want %q", s.Switchovers[name].Phase, got, part)
			}
		}
	}
	s := declared(t, smallState(t), "x", evacuateHangzhou)
	says(s, "x", "approval", s.Switchovers["x"].Hash)
	s = approved(t, smallState(t), "x", evacuateHangzhou)
	says(s, "x", "endpoints")
	s = mustApply(t, s, Freeze{"x", "uid-x"}, CloseSession{"relay-hz-a"})
	says(s, "x", "relay-hz-a (hz-a, closed), relay-hz-b (hz-b)", "permits have ended", "Abort gives everything back")
	s = acked(t, s, "x")
	says(s, "x", "the old primary hz-a (mend its driver or its agent; out of reach: abort",
		"2 more of the members hz-a, sh-a, sz-a (0 of 3",
		"Abort gives")
	fenced := report(t, report(t, s, "s", "hz-a", Position{1, 9}), "s", "sh-a", Position{})
	says(fenced, "x", "sh-a of store s to position 1/9", "declare it again")
	caught := report(t, fenced, "s", "sh-a", Position{1, 9})
	says(caught, "x", "commits next")
	over := mustApply(t, caught, Commit{"x", "uid-x"})
	says(over, "x", "sh-a of store s reported the promotion", "supersedes")
	over = report(t, over, "s", "sh-a", Position{1, 9})
	says(over, "x", "sh-a of store s reported that it is open")
	over = report(t, over, "s", "sh-a", Position{1, 9})
	says(over, "x", "data planes")
	says(mustApply(t, over, Converged{Name: "x", UID: "uid-x"}), "x", "done")
	says(mustApply(t, s, Abort{Name: "x", UID: "uid-x", Reason: "tired"}), "x", "Aborted", "tired")

	s = approved(t, smallState(t), "x", Request{Mode: Disaster, EvacuateRegion: "hz"})
	s = mustApply(t, s, Freeze{"x", "uid-x"})
	says(s, "x", "or all permits of before have ended")
	says(acked(t, s, "x"), "x", "or the end of its permit")
	if got := s.Waiting("unknown"); got != "" {
		t.Errorf("of an unknown one: %q", got)
	}
}

func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		PhaseCaughtUp.String(): "CaughtUp", PhaseSuperseded.String(): "Superseded", Phase(0).String(): "0",
		Phase(99).String(): "99",
		Unfence.String():   "Unfence", BreakGlass.String(): "BreakGlass", Disaster.String(): "Disaster",
		Agent.String(): "agent",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
