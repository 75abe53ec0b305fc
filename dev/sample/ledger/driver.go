package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"pentad.dev/pentad/dev/sample/ledger/ledgerpb"
	"pentad.dev/pentad/unitization/fence"
)

// driver is how the agent's orders reach the member. Each call comes back when the order is obeyed, or with its
// context, and goes on being obeyed meanwhile.
type driver struct{ *Member }

var _ fence.Driver = driver{}

// errNotHere says that a call was meant for another member.
var errNotHere = errors.New("this is another member")

func (d driver) mine(r fence.Request) error {
	if r.Store != d.cfg.Store || r.Member != d.cfg.Member {
		return fmt.Errorf("%w: %s of %s, not %s of %s", errNotHere, d.cfg.Member, d.cfg.Store, r.Member, r.Store)
	}
	return nil
}

// Fence implements fence.Driver.
func (d driver) Fence(ctx context.Context, r fence.Request) (fence.State, error) {
	return d.until(ctx, fence.Fence, r, func(c *core) error { return c.fence(r.Token) })
}

// Promote implements fence.Driver.
func (d driver) Promote(ctx context.Context, r fence.Request) (fence.State, error) {
	return d.until(ctx, fence.Promote, r, func(c *core) error { return c.promote(r.Token) })
}

// Open implements fence.Driver.
func (d driver) Open(ctx context.Context, r fence.Request) (fence.State, error) {
	return d.until(ctx, fence.Open, r, func(c *core) error { return c.openAt(r.Token) })
}

// Unfence implements fence.Driver.
func (d driver) Unfence(ctx context.Context, r fence.Request) (fence.State, error) {
	return d.until(ctx, fence.Unfence, r, func(c *core) error { return c.openAt(r.Token) })
}

// Status implements fence.Driver.
func (d driver) Status(_ context.Context, r fence.Request) (state fence.State, err error) {
	if err := d.mine(r); err != nil {
		return state, err
	}
	_, err = d.look(func(c *core) { state = c.state() })
	return state, err
}

// CatchUp implements fence.Driver.
func (d driver) CatchUp(ctx context.Context, r fence.Request) (state fence.State, err error) {
	if err := d.mine(r); err != nil {
		return state, err
	}
	var refused error
	there := false
	if err := d.do(func(c *core) { there, refused = c.catchUp(r.Token, r.Position) }); err != nil || refused != nil {
		return state, errors.Join(err, refused)
	}
	for why := error(nil); !there; {
		if there, why = d.copy(ctx, r); there {
			break
		}
		select {
		case <-ctx.Done():
			return state, fmt.Errorf("position %s not reached: %w", r.Position, errors.Join(ctx.Err(), why))
		case <-time.After(retryEvery):
		}
	}
	return d.Status(ctx, r)
}

// copy copies from all of the others at once, until the position is reached or there is no more to be had: one that is
// cut off costs no time.
func (d driver) copy(ctx context.Context, r fence.Request) (there bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(d.cfg.Peers))
	var all sync.WaitGroup
	for i, p := range d.cfg.Peers {
		all.Go(func() {
			if err := d.copyFrom(ctx, p, r); err != nil {
				errs[i] = fmt.Errorf("%s: %w", p.Member, err)
				return
			}
			cancel() // reached
		})
	}
	all.Wait()
	_, err = d.look(func(c *core) { there = c.token == r.Token && c.position().Compare(r.Position) >= 0 })
	return there, errors.Join(append(errs, err)...)
}

// copyWithin bounds one exchange with a member that may be gone.
const copyWithin = 500 * time.Millisecond

func (d driver) copyFrom(ctx context.Context, p Peer, r fence.Request) error {
	conn, err := d.dial(p)
	if err != nil {
		return err
	}
	defer conn.Close()
	way := &catching{token: r.Token, to: r.Position}
	if _, err := d.look(func(c *core) { way.after = c.last() }); err != nil {
		return err
	}
	for {
		var ask *ledgerpb.FetchRequest
		wanted := false
		if _, err := d.look(func(c *core) { ask, wanted = c.fetching(way) }); err != nil || !wanted {
			return err
		}
		bounded, cancel := context.WithTimeout(ctx, copyWithin)
		answer, err := ledgerpb.NewReplicationClient(conn).Fetch(bounded, ask)
		cancel()
		if err != nil {
			return err
		}
		var poor error
		if err := d.do(func(c *core) { poor = c.fetched(way, p.Member, ask, answer) }); err != nil || poor != nil {
			return errors.Join(err, poor)
		}
	}
}

// until gives the order, and waits until the member is as it is wanted.
func (d driver) until(
	ctx context.Context, a fence.Action, r fence.Request, give func(*core) error,
) (fence.State, error) {
	if err := d.mine(r); err != nil {
		return fence.State{}, err
	}
	var refused error
	if err := d.do(func(c *core) { refused = give(c) }); err != nil || refused != nil {
		return fence.State{}, errors.Join(err, refused)
	}
	order := fence.Order{Action: a, Token: r.Token}
	for {
		var state fence.State
		var problem string
		news, err := d.look(func(c *core) { state, problem = c.state(), c.problem })
		if err != nil {
			return fence.State{}, err
		}
		err = order.Obeyed(state)
		if err == nil || errors.Is(err, fence.ErrLowerToken) {
			return state, err
		}
		select {
		case <-ctx.Done():
			return fence.State{}, fmt.Errorf("not done yet: %w", errors.Join(ctx.Err(), asError(problem)))
		case <-news:
		}
	}
}

func asError(problem string) error {
	if problem == "" {
		return nil
	}
	return errors.New(problem)
}
