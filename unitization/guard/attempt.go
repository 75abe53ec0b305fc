package guard

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The pauses between attempts.
const (
	pauseLeast = 20 * time.Millisecond
	pauseMost  = 200 * time.Millisecond
)

// attempts is one call, however often it is tried.
type attempts struct {
	client *Client
	method string
	begun  time.Time
	pause  time.Duration
	// cell is where the next attempt is addressed to; empty: wherever routing takes it.
	cell string
	// readdressed says that a refusal's cell has been followed at once already.
	readdressed bool
	// once says that the call cannot be sent again.
	once bool
}

func (c *Client) attempts(method string) *attempts {
	c.count.calls.Add(1)
	return &attempts{client: c, method: method, begun: time.Now(), pause: pauseLeast}
}

// again says whether to try once more after err, when the time has come. Only refusals are tried again: a guard refuses
// before the handler begins, so nothing has been done.
func (a *attempts) again(ctx context.Context, err error) bool {
	r, refused := refusedBefore(err)
	if !refused {
		return false
	}
	c := a.client
	c.count.refused.Add(1)
	a.tell(CallRefused, r)
	if r.Reason == BadShard || a.once {
		return a.giveUp(r)
	}
	// What a refusal says of the owner is a hint: the next guard decides for itself.
	a.cell = ""
	if r.Reason == WrongCell {
		a.cell = r.Cell
	}
	if a.cell != "" && !a.readdressed {
		a.readdressed = true
		c.count.readdressed.Add(1)
		a.tell(Readdressed, r)
		return ctx.Err() == nil
	}
	if !a.wait(ctx) {
		return a.giveUp(r)
	}
	if a.cell != "" {
		c.count.readdressed.Add(1)
		a.tell(Readdressed, r)
	} else {
		c.count.retried.Add(1)
		a.tell(Retried, r)
	}
	return true
}

func (a *attempts) giveUp(r *Refusal) bool {
	a.client.count.givenUp.Add(1)
	a.tell(GivenUp, r)
	return false
}

// wait pauses; false when patience or the deadline ends first.
func (a *attempts) wait(ctx context.Context) bool {
	pause := a.pause/2 + rand.N(a.pause/2+1)
	a.pause = min(a.pause*2, pauseMost)
	until := time.Now().Add(pause)
	if until.Sub(a.begun) > a.client.cfg.Patience {
		return false
	}
	if deadline, ok := ctx.Deadline(); ok && !until.Before(deadline) {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (a *attempts) tell(kind Kind, r *Refusal) {
	if observe := a.client.cfg.Observer; observe != nil {
		observe(Event{
			Kind: kind, At: time.Now(), Cell: r.Cell, Unitization: r.Unitization, Shard: r.Shard, Since: r.Since,
			Method: a.method,
			Reason: r.Reason,
		})
	}
}

// Messages of fault filters, by which a route says that a shard is frozen or that no route takes the request (rules 17
// and 18 of xDS). They have no details, and the code alone may be a handler's own.
const (
	abortOfGRPC  = "RPC terminated due to fault injection"
	abortOfEnvoy = "fault filter abort"
)

// refusedBefore finds a guard's refusal, or a route's.
func refusedBefore(err error) (*Refusal, bool) {
	if err == nil {
		return nil, false
	}
	if r, ok := RefusalOf(err); ok {
		return r, true
	}
	st, ok := status.FromError(err)
	if ok && st.Code() == codes.FailedPrecondition && (st.Message() == abortOfGRPC || st.Message() == abortOfEnvoy) {
		return &Refusal{Reason: Frozen, Shard: -1, Detail: "by the route"}, true
	}
	return nil, false
}
