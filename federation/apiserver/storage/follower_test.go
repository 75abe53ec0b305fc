package storage

import (
	"context"
	"math"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
)

// follower is the Backend of a server that does not lead: commands go to the leader, and its own replica gets them
// when the test says so, or when a read waits for it.
type follower struct {
	leader *replica
	fsm    *intent.FSM

	mu      sync.Mutex
	applied int
	// reading makes a consistent read bring the replica up to date, as a leader's heartbeat does.
	reading bool
	// patience is how long the last consistent read could take.
	patience time.Duration
}

func newFollower(t testing.TB, leader *replica) *follower {
	t.Helper()
	return &follower{leader: leader, fsm: newReplica(t).fsm, reading: true}
}

func (f *follower) State() *intent.FSM { return f.fsm }

func (f *follower) ReadRevision(ctx context.Context) (uint64, error) {
	revision, err := f.leader.ReadRevision(ctx)
	f.mu.Lock()
	f.patience = left(ctx)
	f.mu.Unlock()
	if f.reading {
		go func() {
			time.Sleep(10 * time.Millisecond)
			f.catchUp()
		}()
	}
	return revision, err
}

func (f *follower) Propose(ctx context.Context, command *intentpb.Command) (intent.Result, error) {
	return f.leader.Propose(ctx, command)
}

func (f *follower) catchUp() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, entry := range f.leader.entries(f.applied) {
		f.applied++
		f.fsm.Apply(uint64(f.applied), entry)
	}
}

// left is the time that a context has.
func left(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return time.Until(deadline)
	}
	return math.MaxInt64
}

// patiently repeats a read or a write that needs one while it is unavailable: a replica may take longer to catch up than
// one read waits.
func patiently(call func() error) error {
	err := call()
	for deadline := time.Now().Add(time.Minute); apierrors.IsServiceUnavailable(err) && time.Now().Before(deadline); {
		err = call()
	}
	return err
}
