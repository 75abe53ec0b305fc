package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"pentad.dev/pentad/unitization/fence"
)

// Config is what a Driver needs.
type Config struct {
	// URL is where to post, http or https.
	URL string
	// Dial opens connections; nil: TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Validate names every wrong field.
func (c Config) Validate() error {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		return fmt.Errorf("url: %w", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("url: %q is not http://host/path or https://host/path", c.URL)
	}
	return nil
}

// Driver is a fence.Driver. Each call is bounded by its context alone.
type Driver struct {
	url    string
	client *http.Client
}

var _ fence.Driver = (*Driver)(nil)

// idle bounds how long an unused connection is kept.
const idle = 30 * time.Second

// New fails on a wrong configuration.
func New(cfg Config) (*Driver, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	transport := &http.Transport{
		DialContext: cfg.Dial, IdleConnTimeout: idle, MaxIdleConnsPerHost: 2, MaxResponseHeaderBytes: maxBody,
	}
	return &Driver{url: cfg.URL, client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Fence implements fence.Driver.
func (d *Driver) Fence(ctx context.Context, r fence.Request) (fence.State, error) {
	return d.call(ctx, fence.Fence, r)
}

// CatchUp implements fence.Driver.
func (d *Driver) CatchUp(ctx context.Context, r fence.Request) (fence.State, error) {
	return d.call(ctx, fence.CatchUp, r)
}

// Promote implements fence.Driver.
func (d *Driver) Promote(ctx context.Context, r fence.Request) (fence.State, error) {
	return d.call(ctx, fence.Promote, r)
}

// Open implements fence.Driver.
func (d *Driver) Open(ctx context.Context, r fence.Request) (fence.State, error) {
	return d.call(ctx, fence.Open, r)
}

// Unfence implements fence.Driver.
func (d *Driver) Unfence(ctx context.Context, r fence.Request) (fence.State, error) {
	return d.call(ctx, fence.Unfence, r)
}

// Status implements fence.Driver.
func (d *Driver) Status(ctx context.Context, r fence.Request) (fence.State, error) {
	return d.call(ctx, fence.Status, r)
}

// Close ends the idle connections.
func (d *Driver) Close() { d.client.CloseIdleConnections() }

func (d *Driver) call(ctx context.Context, a fence.Action, r fence.Request) (fence.State, error) {
	body, err := json.Marshal(requestOf(a, r))
	if err != nil {
		return fence.State{}, err
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, bytes.NewReader(body))
	if err != nil {
		return fence.State{}, err
	}
	post.Header.Set("Content-Type", "application/json")
	response, err := d.client.Do(post)
	if err != nil {
		return fence.State{}, inTime(ctx, err)
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusConflict:
		return fence.State{}, fmt.Errorf("%w: %s", fence.ErrLowerToken, said(response))
	default:
		return fence.State{}, inTime(ctx, fmt.Errorf("%s: %s", response.Status, said(response)))
	}
	var got answer
	if err := decode(response.Body, &got); err != nil {
		if ctx.Err() != nil {
			return fence.State{}, inTime(ctx, err)
		}
		return fence.State{}, fmt.Errorf("%w: %w", fence.ErrGarbage, err)
	}
	state, err := got.state()
	if err != nil {
		return fence.State{}, fmt.Errorf("%w: %w", fence.ErrGarbage, err)
	}
	return state, nil
}

// inTime says whether it was the context that ended a call.
func inTime(ctx context.Context, err error) error {
	var timeout net.Error
	if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("%w: %w", fence.ErrTimeout, err)
	}
	return err
}

// said is what a refusal's body says, for people: no more than fits into a line of a report.
func said(response *http.Response) string {
	const most = 512
	data, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil {
		return err.Error()
	}
	var p problem
	if json.Unmarshal(data, &p) == nil && p.Error != "" {
		return p.Error
	}
	return fmt.Sprintf("%q", bytes.TrimSpace(data))
}
