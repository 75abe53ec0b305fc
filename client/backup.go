package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"k8s.io/client-go/rest"
)

// stallsAfter is how long nothing may come of a backup that has begun.
const stallsAfter = 30 * time.Second

// ErrStalled is what the error of a Backup is of which nothing more came for a while.
var ErrStalled = errors.New("the server has stopped sending")

// Backup writes a backup of everything that is declared, and of what decides who may write, as it is now, to w. It takes
// as long as something comes and ctx allows, and fails over to other servers as long as nothing has come. What is written is a backup only if
// it returns nil, and even then to be verified by who keeps it: a stream may end early.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	var stream streaming
	opening, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	err := c.rounds(opening, func(e endpoint) (bool, error) {
		living, end := context.WithCancel(ctx)
		late := time.AfterFunc(c.writeAttempt, end) // the server waits for the leader
		opened, err := e.rest.Get().AbsPath("/pentad/backup").Stream(living)
		if err == nil && !late.Stop() {
			_ = opened.Close()
			err = context.DeadlineExceeded
		}
		if err != nil {
			late.Stop()
			end()
			return another(err), err
		}
		stream = streaming{opened, end}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("backup: %w", said(err))
	}
	defer stream.Close()
	if _, err := io.Copy(w, watched{stream, c.stall}); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}

// watched ends a stream of which nothing has come for a while, however long it takes in all.
type watched struct {
	stream streaming
	stall  time.Duration
}

// Read implements io.Reader. The time that the reader takes between two calls does not count.
func (w watched) Read(b []byte) (int, error) {
	late := time.AfterFunc(w.stall, w.stream.end)
	n, err := w.stream.Read(b)
	if !late.Stop() && err != nil {
		err = fmt.Errorf("%w for %s: %w", ErrStalled, w.stall, err)
	}
	return n, err
}

// streaming is a stream that frees its context when it is closed.
type streaming struct {
	io.ReadCloser
	end context.CancelFunc
}

func (s streaming) Close() error {
	defer s.end()
	return s.ReadCloser.Close()
}

// Reconciliation is what a restored estate waits for.
type Reconciliation struct {
	// Waiting are sentences that say what, and what an operator can do; none when nothing is to be reconciled.
	Waiting []string `json:"waiting"`
	// Details are what agents say, or do not say, of the stores that are waited for.
	Details []string `json:"details,omitempty"`
}

// Reconciliation asks the server that answers first; what it hears of others may be a moment old.
func (c *Client) Reconciliation(ctx context.Context) (*Reconciliation, error) {
	told := &Reconciliation{}
	err := c.call(ctx, repeatable, func(ctx context.Context, r rest.Interface) error {
		data, err := page(r.Get().AbsPath("/pentad/reconciliation").DoRaw(ctx))
		if err != nil {
			return err
		}
		return json.Unmarshal(data, told)
	})
	if err != nil {
		return nil, fmt.Errorf("reconciliation: %w", err)
	}
	return told, nil
}
