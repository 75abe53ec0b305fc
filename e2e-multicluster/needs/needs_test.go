//go:build linux

package needs

import (
	"errors"
	"testing"
)

// What is missing is never taken for what was tried.
func TestWhatIsMissingIsSkippedOrFails(t *testing.T) {
	missing := errors.New("a thing is missing")
	tests := func() int {
		t.Error("tests ran without what they need")
		return 0
	}
	t.Setenv(Required, "")
	if got := Run(tests, missing); got != 0 {
		t.Errorf("status %d, want a skip, 0", got)
	}
	t.Setenv(Required, "1")
	if got := Run(tests, missing); got != 1 {
		t.Errorf("status %d, want a failure, 1", got)
	}
}
