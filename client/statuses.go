package client

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// ServerStatus is what one server says of itself and of what it hears.
type ServerStatus struct {
	// URL is where the server was asked.
	URL string
	// Page is its status page, JSON; Err is why there is none.
	Page json.RawMessage
	Err  error
}

// Statuses asks every server at once, each for at most patience. It needs no leader: a server says what it knows itself.
func (c *Client) Statuses(ctx context.Context, patience time.Duration) []ServerStatus {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	all := make([]ServerStatus, len(c.endpoints))
	var asking sync.WaitGroup
	for i, e := range c.endpoints {
		asking.Go(func() {
			body, err := page(e.rest.Get().AbsPath("/pentad/status").DoRaw(ctx))
			if err != nil {
				err = fmt.Errorf("status of %s: %w", e.url, said(err))
			}
			all[i] = ServerStatus{URL: e.url, Page: body, Err: err}
		})
	}
	asking.Wait()
	return all
}
