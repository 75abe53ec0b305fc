package fence

import (
	"context"
	"errors"
	"fmt"
)

var (
	// ErrLowerToken says that the member keeps a higher token than the call's: the order is of the past.
	ErrLowerToken = errors.New("token is lower than the one kept")
	// ErrGarbage says that what came back is no answer to what was asked.
	ErrGarbage = errors.New("answer makes no sense")
	// ErrTimeout says that no answer came in time; the member may or may not have acted.
	ErrTimeout = errors.New("no answer in time")
)

// Request is a call to a member.
type Request struct {
	Store, Member string
	Token         uint64
	// Switchover is the uid of the switchover that ordered it, Step the order's: for the member's log.
	Switchover string
	Step       int
	// Position is what CatchUp must reach.
	Position Position
}

// Driver drives one member of a store. Every call but Status makes the member keep the token durably before it acts,
// and is refused with ErrLowerToken by one that keeps a higher one (rule 15). Every call is idempotent, may be called
// from any goroutine, ends with its context, and returns what the member is like afterwards. Other errors: ErrTimeout,
// ErrGarbage, and whatever keeps the call from the member.
type Driver interface {
	// Fence has the member refuse all writes and tell its position, which from then on does not grow by itself.
	Fence(context.Context, Request) (State, error)
	// CatchUp has it hold everything up to a position, from members that were fenced under this token or a higher one.
	CatchUp(context.Context, Request) (State, error)
	// Promote makes it the primary, still closed.
	Promote(context.Context, Request) (State, error)
	// Open has the primary take writes.
	Open(context.Context, Request) (State, error)
	// Unfence has the primary of before take writes again.
	Unfence(context.Context, Request) (State, error)
	// Status asks what it is like.
	Status(context.Context, Request) (State, error)
}

// Call makes a driver's call for an action.
func Call(ctx context.Context, d Driver, a Action, r Request) (State, error) {
	switch a {
	case Status:
		return d.Status(ctx, r)
	case Fence:
		return d.Fence(ctx, r)
	case CatchUp:
		return d.CatchUp(ctx, r)
	case Promote:
		return d.Promote(ctx, r)
	case Open:
		return d.Open(ctx, r)
	case Unfence:
		return d.Unfence(ctx, r)
	}
	return State{}, fmt.Errorf("action: %s: there is no such call", a)
}
