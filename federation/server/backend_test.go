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

// A leader whose disk is full may lose office with writes in flight; that it then refuses their repetition does not say
// that they never happened.
func TestARefusalSaysNothingOfAnAttemptBeforeIt(t *testing.T) {
	for _, err := range []error{consensus.ErrDiskFull, toStatus(consensus.ErrDiskFull), toStatus(consensus.ErrTooLarge)} {
		if got := final(false, err); !errors.Is(got, storage.ErrNotWritten) {
			t.Errorf("%v at the first attempt: %v, want that nothing was written", err, got)
		}
		if got := final(true, err); errors.Is(got, storage.ErrNotWritten) || !errors.Is(got, err) {
			t.Errorf("%v after an attempt of unknown outcome: %v, want the outcome unknown", err, got)
		}
	}
	if err := final(true, nil); err != nil {
		t.Errorf("an attempt that succeeded: %v", err)
	}
}
