package guard

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
)

// Headers of refused HTTP responses, beside HeaderCell.
const (
	headerReason      = "x-pentad-reason"
	headerUnitization = "x-pentad-unitization"
	headerSince       = "x-pentad-since"
	headerUnit        = "x-pentad-unit"
)

// Handler checks each request before next, as the gRPC interceptors do. What reads is told by route.Methods.ReadHTTP. A
// refusal is 421 (Misdirected Request, RFC 9110 15.5.20) when another cell takes the shard's writes, 400 for a bad
// shard and 409 else; never 503, which proxies retry by themselves.
func (g *Guard) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := g.state.Load()
		var d Decision
		g.decide(&d, s, s.methods.ReadHTTP(r.Method, r.URL.Path, r.Header.Get("Content-Type")), r.Header.Values(HeaderShard))
		g.tell(&d, r.Method+" "+r.URL.Path)
		if refusal := d.Refusal(); refusal != nil {
			refusal.writeHTTP(w)
			return
		}
		defer d.Release()
		seen := d
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), decisionKey{}, func() Decision { return seen })))
	})
}

func (r *Refusal) writeHTTP(w http.ResponseWriter) {
	h := w.Header()
	for name, value := range map[string]string{
		headerReason: string(r.Reason), headerUnitization: r.Unitization, headerUnit: r.Unit, HeaderCell: r.Cell,
	} {
		if value != "" {
			h.Set(name, value)
		}
	}
	if r.Shard >= 0 && r.Unitization != "" {
		h.Set(HeaderShard, strconv.Itoa(r.Shard))
	}
	if r.Since > 0 {
		h.Set(headerSince, strconv.FormatUint(r.Since, 10))
	}
	h.Set("Content-Type", "application/json")
	code := http.StatusConflict
	switch r.Reason {
	case WrongCell:
		code = http.StatusMisdirectedRequest
	case BadShard:
		code = http.StatusBadRequest
	}
	w.WriteHeader(code)
	// The connection may be gone; who refuses has nobody to tell then.
	_ = json.NewEncoder(w).Encode(map[string]any{
		"error": map[string]any{"status": "FAILED_PRECONDITION", "reason": r.Reason, "message": r.Error()},
	})
}

// refusalOfHTTP finds a guard's refusal in a response.
func refusalOfHTTP(resp *http.Response) *Refusal {
	h := resp.Header
	if h.Get(headerReason) == "" {
		return nil
	}
	switch resp.StatusCode {
	case http.StatusMisdirectedRequest, http.StatusConflict, http.StatusBadRequest:
	default:
		return nil
	}
	r := &Refusal{
		Reason: Reason(h.Get(headerReason)), Unitization: h.Get(headerUnitization), Shard: -1, Unit: h.Get(headerUnit),
		Cell: h.Get(HeaderCell),
	}
	if shard, err := strconv.Atoi(h.Get(HeaderShard)); err == nil {
		r.Shard = shard
	}
	r.Since, _ = strconv.ParseUint(h.Get(headerSince), 10, 64)
	return r
}

// RoundTripper stamps requests and tries refused ones again, as the gRPC interceptors do. A request with a body is
// tried again only when it has GetBody. The response of the last refusal is the caller's. Nil base:
// http.DefaultTransport.
func (c *Client) RoundTripper(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &roundTripper{c, base}
}

type roundTripper struct {
	client *Client
	base   http.RoundTripper
}

func (t *roundTripper) RoundTrip(in *http.Request) (*http.Response, error) {
	ctx := in.Context()
	table, err := t.client.table(ctx)
	if err != nil {
		return nil, closing(in, err)
	}
	if table == nil {
		return t.base.RoundTrip(in)
	}
	methods := table.Methods(t.client.cfg.Service)
	read := methods.ReadHTTP(in.Method, in.URL.Path, in.Header.Get("Content-Type"))
	shard, err := stamp(table, in.Header.Values(table.Header()), read)
	if err != nil {
		return nil, closing(in, err)
	}
	try := t.client.attempts(in.Method + " " + in.URL.Path)
	for first := true; ; first = false {
		req := in.Clone(ctx)
		req.Header.Del(HeaderShard)
		req.Header.Del(HeaderCell)
		if shard != "" {
			req.Header.Set(HeaderShard, shard)
		}
		if try.cell != "" {
			req.Header.Set(HeaderCell, try.cell)
		}
		if !first && in.GetBody != nil {
			if req.Body, err = in.GetBody(); err != nil {
				return nil, err
			}
		}
		resp, err := t.base.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		refusal := refusalOfHTTP(resp)
		if refusal == nil {
			return resp, nil
		}
		try.once = in.Body != nil && in.Body != http.NoBody && in.GetBody == nil
		if !try.again(ctx, refusal) {
			return resp, nil
		}
		_ = resp.Body.Close()
	}
}

// closing closes the body of a request that is not sent, as a RoundTripper must.
func closing(r *http.Request, err error) error {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	return err
}
