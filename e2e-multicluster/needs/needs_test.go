//go:build linux

package needs

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// What is missing is never taken for what was tried.
func TestWhatIsMissingIsSkippedOrFails(t *testing.T) {
	missing := errors.New("a thing is missing")
	tests := func() int {
		t.Error("tests ran without what they need")
		return 0
	}
	// What it says is judged here, and must not look like this test's own end.
	said, err := os.CreateTemp(t.TempDir(), "said")
	if err != nil {
		t.Fatal(err)
	}
	defer func(stderr *os.File) { os.Stderr = stderr }(os.Stderr)
	os.Stderr = said
	t.Setenv(Required, "")
	if got := Run(tests, missing); got != 0 {
		t.Errorf("status %d, want a skip, 0", got)
	}
	t.Setenv(Required, "1")
	if got := Run(tests, missing); got != 1 {
		t.Errorf("status %d, want a failure, 1", got)
	}
	text, err := os.ReadFile(said.Name())
	if n := strings.Count(string(text), missing.Error()); err != nil || n != 2 {
		t.Errorf("what is missing is said %d times, want 2 (%v):\n%s", n, err, text)
	}
}
