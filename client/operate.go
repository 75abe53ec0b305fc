package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"k8s.io/client-go/rest"
)

// Explanation is why a switchover is where it is.
type Explanation struct {
	// Waiting is what it waits for, and what an operator can do.
	Waiting string `json:"waiting"`
	// Details are what those say, or do not say, whom it waits for.
	Details []string `json:"details,omitempty"`
}

// ExplainSwitchover asks the server that answers first; what it hears of others may be a moment old.
func (c *Client) ExplainSwitchover(ctx context.Context, name string) (*Explanation, error) {
	e := &Explanation{}
	err := c.call(ctx, repeatable, func(ctx context.Context, r rest.Interface) error {
		data, err := page(r.Get().AbsPath("/pentad/switchovers/" + url.PathEscape(name)).DoRaw(ctx))
		if err != nil {
			return err
		}
		return json.Unmarshal(data, e)
	})
	if err != nil {
		return nil, fmt.Errorf("explain switchover %q: %w", name, err)
	}
	return e, nil
}

// TransferLeadership hands the leadership of the federation's servers to one of them. An ErrOrder: it is no voter.
func (c *Client) TransferLeadership(ctx context.Context, server string) error {
	var leadership struct{}
	err := c.post(ctx, "/pentad/leadership", map[string]string{"to": server}, &leadership)
	if err != nil {
		return fmt.Errorf("transfer the leadership to %q: %w", server, err)
	}
	return nil
}
