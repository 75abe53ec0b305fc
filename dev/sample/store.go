package sample

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/dev/sample/ledger/ledgerpb"
	"pentad.dev/pentad/unitization/guard"
)

// storePatience is how long a handler waits for its store, which changes its primary beside the shards: a write in
// flight holds up a switchover.
const storePatience = time.Second

// ErrClosed says that a store takes no writes now, and has not written.
var ErrClosed = errors.New("store takes no writes now")

// Store keeps what units write.
type Store interface {
	// Append writes once, however often it is asked with the same id. Errors: ErrClosed; of any other nobody knows whether
	// it was written.
	Append(ctx context.Context, write *ledgerpb.Write) error
	// Find returns acknowledged writes: that of an id, or the last ones of a shard, in the order in which they were made.
	Find(ctx context.Context, request *ledgerpb.FindRequest) ([]*ledgerpb.Write, error)
}

// append writes what a request asks for, under the permission that it came in with. A closed store becomes a refusal
// that the caller's SDK knows: nothing was done, soon somebody else may.
func (h host) append(ctx context.Context, id, key, payload string) error {
	if h.store == nil {
		return nil
	}
	if id == "" {
		return status.Error(codes.InvalidArgument, "write: must not be empty: it names the write, so that it is done once")
	}
	p := h.permission(ctx)
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	err := h.store.Append(ctx, &ledgerpb.Write{
		Id: id, Shard: uint32(p.shard), Key: key, Since: p.since, Payload: []byte(payload),
	})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrClosed):
		return &guard.Refusal{
			Reason: guard.NoPermit, Unitization: p.unitization, Shard: p.shard, Since: p.since, Detail: err.Error(),
		}
	default: // whatever status the last member gave, to this caller it would say too much
		return status.Errorf(codes.Aborted, "it may or may not have been written, the same write may be sent again: %v", err)
	}
}

// find reads what was written. Where there is no store, there is nothing.
func (h host) find(ctx context.Context, request *ledgerpb.FindRequest) ([]*ledgerpb.Write, error) {
	if h.store == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	return h.store.Find(ctx, request)
}
