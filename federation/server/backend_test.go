package server

import (
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/federation/apiserver/storage"
	"pentad.dev/pentad/federation/consensus"
)

// Each error of the log is told apart on its way from the leader through a follower to the API: whether another attempt may
// help, whether the write may have happened, and whether it surely did not.
func TestErrorsKeepTheirMeaningWhenTheyAreForwarded(t *testing.T) {
	for _, c := range []struct {
		err                              error
		retry, mayHaveHappened, surelyNo bool
	}{
		{consensus.ErrNotLeader, true, false, false},
		{consensus.ErrNoQuorum, true, false, false},
		{consensus.ErrOutcomeUnknown, true, true, false},
		{consensus.ErrDiskFull, false, false, true},
		{consensus.ErrTooLarge, false, false, true},
	} {
		here := fmt.Errorf("propose: %w", c.err)
		for where, err := range map[string]error{"here": here, "forwarded": toStatus(here)} {
			if got := retryable(err); got != c.retry {
				t.Errorf("%v %s: retryable %v", c.err, where, got)
			}
			if got := mayHaveHappened(err); got != c.mayHaveHappened {
				t.Errorf("%v %s: may have happened %v", c.err, where, got)
			}
			if got := errors.Is(surely(err), storage.ErrNotWritten); got != c.surelyNo {
				t.Errorf("%v %s: surely not written %v", c.err, where, got)
			}
		}
	}
	if err := status.Error(codes.Unavailable, "connection refused"); !retryable(err) || !mayHaveHappened(err) {
		t.Error("a lost connection to the leader must be retried, and may have carried the write")
	}
}
