package permit

import (
	"context"
	"errors"

	"pentad.dev/pentad/unitization/permit/permitpb"
)

// Errors of a Grantor. Package stream makes status codes of them, as permit.proto says; any other is UNAVAILABLE.
var (
	// ErrSessionClosed: the session gets no more permits; the holder opens another (FAILED_PRECONDITION).
	ErrSessionClosed = errors.New("session closed")
	// ErrUnregistered: the session is not in the log.
	ErrUnregistered = errors.New("session not registered")
	// ErrDenied: the holder may not have what it names (PERMISSION_DENIED).
	ErrDenied = errors.New("permit denied")
	// ErrMalformed: a message says what cannot be (INVALID_ARGUMENT).
	ErrMalformed = errors.New("malformed")
)

// Holder is the holder's side of a stream. A guard, a store's client and a Hop are holders.
type Holder interface {
	// Granted takes each answer, in order, from one goroutine. After the peer has changed an answer may be older than
	// the one before (in Revision and in `since`), and may end sooner: the holder must not go back in the `since` of a
	// shard.
	Granted(*Permit)
	// Closed are the freezes that everything below the holder refuses writes for, with none in flight, for the next
	// ask. Closed and Rendered are called from several goroutines.
	Closed() []uint64
	// Rendered is the intent revision that a relay's data planes are served from; of others 0.
	Rendered() uint64
}

// Waker is a Holder that wants to ask at once now and then: whenever the channel has something.
type Waker interface{ Wakes() <-chan struct{} }

// Releaser is a Holder that can say, when its client stops, that it has given up all that it held: nothing is in flight
// and nothing will be accepted any more. The client then tells so, and nobody waits for the permit's end.
type Releaser interface{ Released() bool }

// Grantor grants permits: the granting side of streams. Hop and stream.Root are grantors.
type Grantor interface {
	// Open registers a holder. The lease is one stream's, and is closed with it. Errors: ErrSessionClosed, ErrDenied,
	// ErrMalformed; any other means that this grantor cannot answer now.
	Open(ctx context.Context, open *permitpb.Open) (Lease, error)
}

// Lease is what a grantor keeps of one stream.
type Lease interface {
	// Answer answers an ask that has just been received. Asks come one after the other. Errors as of Grantor.Open.
	Answer(ctx context.Context, ask *permitpb.Ask) (*permitpb.Answer, error)
	// Hints has something whenever the holder should ask afresh.
	Hints() <-chan struct{}
	// Close tells that the stream has ended. What was granted over it goes on counting until its end.
	Close()
}
