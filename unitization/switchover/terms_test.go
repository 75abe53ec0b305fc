package switchover

import (
	"testing"
	"time"
)

func TestALongerTThatIsOverIsRememberedUntilItIsInForceAgain(t *testing.T) {
	s := State{}
	for i, step := range []struct{ permit, before time.Duration }{
		{5 * time.Second, 0}, {time.Second, 5 * time.Second}, {2 * time.Second, 5 * time.Second}, {5 * time.Second, 0},
		{8 * time.Second, 0}, {time.Second, 8 * time.Second},
	} {
		var problems []Problem
		s, problems = s.Apply(DeclareMap{
			Unitization: "users", Shards: 1, Permit: step.permit,
			Baseline: []Range{{Unit: "u", Cells: []string{"u.a"}}},
		})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		if got := s.Maps["users"]; got.Permit != step.permit || got.PermitBefore != step.before {
			t.Errorf("step %d: T %s, before %s, want %s and %s", i, got.Permit, got.PermitBefore, step.permit, step.before)
		}
	}
}
