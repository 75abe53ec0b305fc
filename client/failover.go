package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
)

// ErrOutcomeUnknown is what the error of a Create, Update or Delete is when it may or may not have been done: the
// server was lost after it was sent, or could not tell. Read the object before you repeat the call.
var ErrOutcomeUnknown = errors.New(
	"outcome unknown: it may or may not have been done, read the object before you repeat it")

const (
	firstPause, longestPause = 50 * time.Millisecond, time.Second
	// readAttempt and writeAttempt are how long one server may take. It bounds its own work by less.
	readAttempt, writeAttempt = 4 * time.Second, 12 * time.Second
)

// repetition says what a call may do when it is not known whether the server did it.
type repetition int

const (
	repeatable repetition = iota // doing it twice is the same as once
	once
)

// call makes a call at the endpoint that answered last, and at the others in turn when it does not.
func (c *Client) call(ctx context.Context, r repetition, do func(context.Context, rest.Interface) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	patience := c.readAttempt
	if r == once {
		patience = c.writeAttempt
	}
	return c.rounds(ctx, func(e endpoint) (bool, error) {
		attempt, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		traced, sent := trace(attempt)
		err := do(traced, e.rest)
		if r == once && unknown(err, sent.Load()) {
			return false, fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
		}
		return another(err), err
	})
}

// open opens a watch, which outlives the time that opening it may take.
func (c *Client) open(ctx context.Context,
	do func(context.Context, rest.Interface) (watch.Interface, error)) (stream watch.Interface, err error) {
	opening, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	err = c.rounds(opening, func(e endpoint) (bool, error) {
		living, end := context.WithCancel(ctx)
		late := time.AfterFunc(c.readAttempt, end)
		abandoned := context.AfterFunc(opening, end)
		opened, err := do(living, e.rest)
		if err == nil && (!late.Stop() || !abandoned()) {
			opened.Stop()
			err = context.DeadlineExceeded
		}
		if err != nil {
			late.Stop()
			abandoned()
			end()
			return another(err), err
		}
		stream = ending{Interface: opened, end: end}
		return false, nil
	})
	return stream, err
}

// ending is a watch that frees its context when it is stopped.
type ending struct {
	watch.Interface
	end context.CancelFunc
}

// Stop implements watch.Interface.
func (e ending) Stop() {
	e.Interface.Stop()
	e.end()
}

// rounds asks the endpoints in turn, with growing pauses between rounds, until one answers for good or ctx ends.
func (c *Client) rounds(ctx context.Context, ask func(endpoint) (again bool, err error)) error {
	pause := firstPause
	var last error
	worth := 0
	for {
		first := int(c.preferred.Load())
		for i := range c.endpoints {
			n := (first + i) % len(c.endpoints)
			again, err := ask(c.endpoints[n])
			if !again {
				if err == nil {
					c.preferred.Store(int64(n))
				}
				return err
			}
			if w := tells(err); w >= worth {
				last, worth = fmt.Errorf("%s: %w", c.endpoints[n].url, err), w
			}
			if ctx.Err() != nil {
				return gaveUp(ctx, last)
			}
		}
		select {
		case <-ctx.Done():
			return gaveUp(ctx, last)
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, longestPause)
	}
}

// tells ranks failures by what they say: that time ran out, that a server was not reached, what a server said.
func tells(err error) int {
	var answer apierrors.APIStatus
	switch {
	case errors.As(err, &answer):
		return 3
	case errors.Is(err, context.DeadlineExceeded):
		return 1
	}
	return 2
}

func gaveUp(ctx context.Context, last error) error {
	return fmt.Errorf("no server could do it (%w), the last said: %w", ctx.Err(), last)
}

// trace tells whether a request went out.
func trace(ctx context.Context) (context.Context, *atomic.Bool) {
	sent := &atomic.Bool{}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }}), sent
}

// unknown says whether a call that failed may have been done. An answer of the API says it; without one it was not
// done if it never went out.
func unknown(err error, sent bool) bool {
	var answer apierrors.APIStatus
	switch {
	case err == nil:
		return false
	case errors.As(err, &answer):
		return apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err)
	}
	return sent
}

// another says whether another server, or the same one later, may do better.
func another(err error) bool {
	var answer apierrors.APIStatus
	if errors.As(err, &answer) {
		return apierrors.IsServiceUnavailable(err) || apierrors.IsTooManyRequests(err) ||
			apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err)
	}
	// No answer: a request that could not be made stays so, a connection or the time for it may not.
	var transport *url.Error
	var network net.Error
	return errors.As(err, &transport) || errors.As(err, &network) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.DeadlineExceeded)
}
