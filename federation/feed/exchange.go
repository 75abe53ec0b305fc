package feed

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// errSilent ends a stream of whose other end nothing was heard for too long.
var errSilent = errors.New("nothing heard")

// exchange runs one half of a stream: one goroutine receives and handles, the caller's sends what the half has to say,
// as soon as it has, and beats once a heartbeat. The half's functions lock for themselves.
type exchange[In, Out any] struct {
	recv func() (In, error)
	send func(Out) error
	// handle takes in a message.
	handle func(In) error
	// next returns what to send now.
	next func() (Out, bool)
	// beat is called once a heartbeat; tick after each message and then when it asks to be.
	beat      func()
	tick      func() time.Duration
	wake      <-chan struct{}
	heartbeat time.Duration

	heard  atomic.Int64
	failed chan error
}

// silence is how long nothing may be heard.
func silence(heartbeat time.Duration) time.Duration { return max(4*heartbeat, 2*time.Second) }

// run returns why the stream ended. The receiving goroutine ends when recv fails, which is when the stream's context
// ends; wait on done for it.
func (x *exchange[In, Out]) run(ctx context.Context) (done <-chan struct{}, err error) {
	start := time.Now()
	x.failed = make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		x.failed <- x.receive(start)
	}()
	return ended, x.speak(ctx, start)
}

func (x *exchange[In, Out]) receive(start time.Time) error {
	for {
		m, err := x.recv()
		if err != nil {
			return err
		}
		x.heard.Store(int64(time.Since(start)))
		if err := x.handle(m); err != nil {
			return err
		}
	}
}

func (x *exchange[In, Out]) speak(ctx context.Context, start time.Time) error {
	beat := time.NewTicker(x.heartbeat)
	defer beat.Stop()
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	x.beat()
	for {
		for m, ok := x.next(); ok; m, ok = x.next() {
			if err := x.send(m); err != nil {
				return x.cause(err)
			}
			select {
			case <-beat.C:
				x.beat()
			default:
			}
		}
		if d := x.tick(); d > 0 {
			again.Reset(d)
		}
		select {
		case <-ctx.Done():
			return x.cause(context.Cause(ctx))
		case err := <-x.failed:
			return err
		case <-x.wake:
		case <-again.C:
		case <-beat.C:
			if quiet := time.Since(start) - time.Duration(x.heard.Load()); quiet > silence(x.heartbeat) {
				return fmt.Errorf("%w for %s", errSilent, quiet.Round(time.Millisecond))
			}
			x.beat()
		}
	}
}

// cause prefers what the receiving side found: it knows the stream's status.
func (x *exchange[In, Out]) cause(err error) error {
	select {
	case received := <-x.failed:
		return received
	default:
		return err
	}
}
