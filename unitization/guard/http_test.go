package guard

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/permit/stream"
)

// httpWorkload is an HTTP server behind a guard.
func httpWorkload(t *testing.T, change func(*Config), maps ...*permitpb.Map) (*bench, *httptest.Server) {
	b := newBench(t, change)
	all := rules()
	all.Rules[0].Services[0].Reads = []string{"/v1/orders"}
	b.takeRules(all)
	b.grant(3, maps...)
	s := httptest.NewServer(b.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if p, ok := b.Permission(r.Context()); ok {
			w.Header().Set("seen-shard", r.Header.Get(HeaderShard))
			w.Header().Set("seen-cell", p.Cell)
		}
		w.Write(body)
	})))
	t.Cleanup(s.Close)
	return b, s
}

func TestHTTPIsCheckedStampedAndReaddressed(t *testing.T) {
	none := func(c *Config) { c.Observer = nil }
	_, wrong := httpWorkload(t, none, users(3, moved))
	_, right := httpWorkload(t, func(c *Config) {
		c.Observer, c.Cells, c.Center = nil, []string{"rz01.sh-a"}, "sh-a"
	}, users(3, moved))
	_, closed := httpWorkload(t, none, users(3, frozen))
	client, err := NewClient(ClientConfig{Relays: []stream.Peer{{Name: "r", Address: "127.0.0.1:1"}}, Service: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	all := rules()
	all.Rules[0].Services[0].Reads = []string{"/v1/orders"}
	client.takeRules(all)
	web := &http.Client{Transport: client.RoundTripper(roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Header.Get(HeaderCell) == "rz01.sh-a" {
			r.URL.Host = strings.TrimPrefix(right.URL, "http://")
		}
		return http.DefaultTransport.RoundTrip(r)
	}))}
	for _, c := range []struct {
		method, url, key string
		code             int
		reason, body     string
	}{
		{"POST", wrong.URL + "/v1/orders", "2088000007", 200, "", "hello"},
		{"POST", closed.URL + "/v1/orders", "2088000007", 409, "FROZEN", ""},
		{"DELETE", closed.URL + "/v1/orders", "2088000007", 409, "FROZEN", ""},
		{"GET", closed.URL + "/v1/orders", "2088000007", 200, "", "hello"},
		{"GET", closed.URL + "/v1/other", "2088000007", 409, "FROZEN", ""},
		{"POST", wrong.URL + "/v1/orders", "2088000030", 421, "WRONG_CELL", ""},
	} {
		req, _ := http.NewRequest(c.method, c.url, strings.NewReader("hello"))
		req.Header.Set("x-user-id", c.key)
		req.Header.Add(HeaderShard, "98")
		req.Header.Add(HeaderShard, "99")
		resp, err := web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.code || resp.Header.Get(headerReason) != c.reason || c.body != "" && string(body) != c.body {
			t.Errorf("%s %s: %d %s %q, want %d %s %q", c.method, c.url, resp.StatusCode, resp.Header.Get(headerReason), body,
				c.code, c.reason, c.body)
		}
		if c.code == 200 && (resp.Header.Get("seen-shard") != "7") {
			t.Errorf("%s %s: the handler saw shard %q", c.method, c.url, resp.Header.Get("seen-shard"))
		}
	}
	if s := client.Stats(); s != (Stats{Calls: 6, Refused: 6, Readdressed: 2, GivenUp: 4}) {
		t.Errorf("stats %+v", s)
	}
	bare, _ := http.NewRequest("POST", wrong.URL+"/v1/orders", nil)
	bare.Header["X-Pentad-Shard"] = []string{"7", "7"}
	resp, err := http.DefaultClient.Do(bare)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 400 || resp.Header.Get(headerReason) != "BAD_SHARD" {
		t.Errorf("two shards: %d %s", resp.StatusCode, resp.Header.Get(headerReason))
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
