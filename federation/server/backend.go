package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/federation/apiserver/storage"
	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
)

const (
	// electionsWaited is how many election timeouts a request waits for a leader, counted from when the last one was lost:
	// a change of leader goes unnoticed, a lost quorum is said at once.
	electionsWaited = 5
	// retryPause is between two looks for the leader.
	retryPause = 20 * time.Millisecond
	// longest is how long a request may take in all.
	longest = 10 * time.Second
)

// backend is the replicated intent as this server reaches it: its own node when it leads, else the leader's server.
type backend struct {
	node    *consensus.Node
	machine *intent.FSM
	peers   *peers
	// check says whether an encoded command may go into the log.
	check func([]byte) error
	// enrolled is nil, or why nothing can be read or written here yet.
	enrolled func() error
	vacancy  *vacancy
	// patience is how long there may be no leader before a request is refused, attempt how long one try may take.
	patience, attempt time.Duration
}

var _ storage.Backend = (*backend)(nil)

// call is something that only the leader can do, at this server or at another one. Both must bear to be repeated.
type call struct {
	here  func(context.Context) error
	there func(context.Context, intentpb.IntentClient) error
	// member is there for calls of the service Membership.
	member func(context.Context, intentpb.MembershipClient) error
	writes bool
}

// State implements storage.Backend.
func (b *backend) State() *intent.FSM { return b.machine }

// Propose implements storage.Backend. The command's id makes it apply once, so an attempt whose outcome is unknown is
// repeated.
func (b *backend) Propose(ctx context.Context, command *intentpb.Command) (intent.Result, error) {
	data, err := intent.Encode(command)
	if err != nil {
		return intent.Result{}, fmt.Errorf("%w: %w", storage.ErrNotWritten, err)
	}
	var result []byte
	err = b.atLeader(ctx, call{
		here: func(ctx context.Context) (err error) {
			result, err = b.propose(ctx, data)
			return err
		},
		there: func(ctx context.Context, leader intentpb.IntentClient) error {
			response, err := leader.Propose(ctx, &intentpb.ProposeRequest{Command: data})
			result = response.GetResult()
			return err
		},
		writes: true,
	})
	if err != nil {
		return intent.Result{}, err
	}
	return intent.DecodeResult(result)
}

// propose has this node replicate a command that may go into the log; a refusal is an answer.
func (b *backend) propose(ctx context.Context, data []byte) (result []byte, err error) {
	if err := b.check(data); err != nil {
		if result, refused := b.machine.Refusal(err); refused {
			return result, nil
		}
		return nil, err
	}
	_, result, err = b.node.Propose(ctx, data)
	return result, err
}

// ReadRevision implements storage.Backend.
func (b *backend) ReadRevision(ctx context.Context) (revision uint64, err error) {
	err = b.atLeader(ctx, call{
		here: func(ctx context.Context) error {
			_, err := b.node.ReadIndex(ctx)
			revision = b.machine.Revision()
			return err
		},
		// Reads that wait here share their trips to the leader.
		there: func(ctx context.Context, leader intentpb.IntentClient) (err error) {
			id, _, _ := b.node.Leader()
			revision, err = b.node.ReadThrough(ctx, id, func(ctx context.Context) (uint64, error) {
				response, err := leader.ReadRevision(ctx, &intentpb.ReadRevisionRequest{})
				return response.GetRevision(), err
			})
			return err
		},
	})
	return revision, err
}

// atLeader makes the call until it succeeds, until ctx ends, or until there was no leader for too long.
func (b *backend) atLeader(ctx context.Context, c call) error {
	if err := b.enrolled(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	unknown := false // whether an attempt may have taken effect
	for {
		attempt, cancel := context.WithTimeout(ctx, b.attempt)
		err := b.once(attempt, c)
		cancel()
		if err == nil || !retryable(err) {
			return final(unknown, err)
		}
		unknown = unknown || c.writes && mayHaveHappened(err)
		if b.vacancy.lasts() > b.patience {
			return givenUp(unknown, storage.ErrNoQuorum, err)
		}
		select {
		case <-ctx.Done():
			return givenUp(unknown, storage.ErrNotWritten, err)
		case <-time.After(retryPause):
		}
	}
}

// final is what a caller hears of an answer that no other attempt can better. That the last attempt was refused says
// nothing of one before it.
func final(unknown bool, err error) error {
	if err != nil && unknown {
		return givenUp(unknown, nil, err)
	}
	return surely(err)
}

// givenUp is what a caller hears in the end: that nothing was written, or that nobody can tell.
func givenUp(unknown bool, sure, last error) error {
	if unknown {
		return fmt.Errorf("the leader was lost before it answered, the write may or may not have happened: "+
			"read the object before you try again: %w", last)
	}
	return fmt.Errorf("%w (%w)", sure, last)
}

func (b *backend) once(ctx context.Context, c call) error {
	if b.node.IsLeader() {
		return c.here(ctx)
	}
	leader, _, _ := b.node.Leader()
	at := b.peers.get(leader)
	switch {
	case at == nil:
		return fmt.Errorf("%w, and none is known", consensus.ErrNotLeader)
	case c.member != nil:
		return c.member(ctx, at.members)
	}
	return c.there(ctx, at.intent)
}

// surely adds that nothing was written to an error that says so by its kind.
func surely(err error) error {
	refused := errors.Is(err, consensus.ErrDiskFull) || errors.Is(err, consensus.ErrTooLarge) || errors.Is(err, intent.ErrCommand)
	switch status.Code(err) {
	case codes.ResourceExhausted, codes.InvalidArgument, codes.PermissionDenied, codes.Unauthenticated:
		refused = true
	}
	if refused {
		return fmt.Errorf("%w: %w", storage.ErrNotWritten, plain{err})
	}
	return err
}

// plain is an error of a call without what gRPC says around it.
type plain struct{ error }

func (p plain) Error() string { return status.Convert(p.error).Message() }
func (p plain) Unwrap() error { return p.error }

// retryable says whether another attempt, perhaps at another leader, may help.
func retryable(err error) bool {
	switch {
	case errors.Is(err, consensus.ErrNotLeader), errors.Is(err, consensus.ErrNoQuorum), errors.Is(err, consensus.ErrOutcomeUnknown),
		errors.Is(err, context.DeadlineExceeded):
		return true
	}
	switch status.Code(err) {
	case codes.FailedPrecondition, codes.Unavailable, codes.Aborted, codes.DeadlineExceeded:
		return true
	}
	return false
}

// mayHaveHappened says whether an attempt that failed may have taken effect all the same.
func mayHaveHappened(err error) bool {
	switch {
	case errors.Is(err, consensus.ErrNotLeader):
		return false
	case errors.Is(err, consensus.ErrOutcomeUnknown), errors.Is(err, context.DeadlineExceeded):
		return true
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.Aborted, codes.DeadlineExceeded:
		return true
	}
	return false
}
