package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pentad.dev/pentad/unitization/fence"
)

const good = `{"token":"7","position":{"epoch":"3","index":"18446744073709551615"},"state":"Closed","primary":true}`

var asked = fence.Request{
	Store: "orders-rz01", Member: "hz-a", Token: 7, Switchover: "u-1", Step: 2,
	Position: fence.Position{Epoch: 3, Index: 9},
}

func drive(t *testing.T, handler http.Handler) *Driver {
	t.Helper()
	server := httptest.NewServer(handler)
	d, err := New(Config{URL: server.URL + "/fence"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close(); server.CloseClientConnections(); server.Close() })
	return d
}

func answers(status int, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

func TestWhatIsSentAndWhatIsUnderstood(t *testing.T) {
	var body string
	d := drive(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		body = r.Method + " " + r.URL.Path + " " + string(data)
		_, _ = io.WriteString(w, good)
	}))
	state, err := d.CatchUp(t.Context(), asked)
	want := fence.State{Token: 7, Position: fence.Position{Epoch: 3, Index: 1<<64 - 1}, Primary: true}
	if err != nil || state != want {
		t.Errorf("got %+v, %v, want %+v", state, err, want)
	}
	sent := `POST /fence {"action":"CatchUp","store":"orders-rz01","member":"hz-a","token":"7",` +
		`"switchover":"u-1","step":2,"position":{"epoch":"3","index":"9"}}`
	if body != sent {
		t.Errorf("sent %s\nwant %s", body, sent)
	}
}

func TestWhatMakesNoSenseIsNoAnswer(t *testing.T) {
	for name, body := range map[string]string{
		"nothing":           "",
		"html":              "<html>hello</html>",
		"an unknown field":  strings.Replace(good, `"token"`, `"tokens":"1","token"`, 1),
		"two objects":       good + good,
		"a number":          strings.Replace(good, `"7"`, `7`, 1),
		"a leading zero":    strings.Replace(good, `"7"`, `"07"`, 1),
		"a negative number": strings.Replace(good, `"7"`, `"-7"`, 1),
		"too large":         strings.Replace(good, `"7"`, `"18446744073709551616"`, 1),
		"no token":          strings.Replace(good, `"token":"7",`, ``, 1),
		"half a position":   strings.Replace(good, `"epoch":"3",`, ``, 1),
		"no position":       `{"token":"7","state":"Closed","primary":true}`,
		"another state":     strings.Replace(good, "Closed", "closed", 1),
		"no primary":        strings.Replace(good, `,"primary":true`, ``, 1),
		"a long body":       strings.Replace(good, "Closed", strings.Repeat("x", maxBody), 1),
		"half of it":        good[:20],
	} {
		d := drive(t, answers(http.StatusOK, body))
		if _, err := d.Fence(t.Context(), asked); !errors.Is(err, fence.ErrGarbage) {
			t.Errorf("%s: %v, want ErrGarbage", name, err)
		}
	}
}

func TestRefusalsSayWhy(t *testing.T) {
	for _, c := range []struct {
		handler http.Handler
		is      error
		says    string
	}{
		{answers(http.StatusConflict, `{"error":"keeps 9"}`), fence.ErrLowerToken, "keeps 9"},
		{answers(http.StatusInternalServerError, `oh`), nil, `500 Internal Server Error: "oh"`},
		{answers(http.StatusInternalServerError, strings.Repeat("y", 1<<20)), nil, "yyyy"},
		{answers(http.StatusNoContent, ``), nil, "204"},
		{http.RedirectHandler("http://127.0.0.1:1/elsewhere", http.StatusTemporaryRedirect), nil, "307"},
	} {
		_, err := drive(t, c.handler).Promote(t.Context(), asked)
		if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("got %.200v, want %q", err, c.says)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
		for _, other := range []error{fence.ErrLowerToken, fence.ErrGarbage, fence.ErrTimeout} {
			if other != c.is && errors.Is(err, other) {
				t.Errorf("%v is %v", err, other)
			}
		}
	}
}

func TestAServerThatHangsIsBounded(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then a server notices that the caller has gone
		<-r.Context().Done()
	}
	for name, handler := range map[string]http.HandlerFunc{
		"before the header": hang,
		"within the body": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, good[:10])
			w.(http.Flusher).Flush()
			hang(w, r)
		},
		"drop by drop": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, " ")
				w.(http.Flusher).Flush()
				time.Sleep(10 * time.Millisecond)
			}
		},
	} {
		d := drive(t, handler)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		began := time.Now()
		_, err := d.Open(ctx, asked)
		cancel()
		if !errors.Is(err, fence.ErrTimeout) || time.Since(began) > time.Minute {
			t.Errorf("hangs %s: %v after %s, want ErrTimeout", name, err, time.Since(began))
		}
	}
}

// member is a driver that says what it was asked.
type member struct {
	fence.Driver
	calls atomic.Int32
	state fence.State
	err   error
	got   fence.Request
}

func (m *member) Unfence(_ context.Context, r fence.Request) (fence.State, error) {
	m.calls.Add(1)
	m.got = r
	return m.state, m.err
}

func TestBothHalvesFitTogether(t *testing.T) {
	m := &member{state: fence.State{
		Token: 1<<64 - 1, Position: fence.Position{Epoch: 1, Index: 2}, Open: true, Primary: true,
	}}
	d := drive(t, NewHandler(m))
	state, err := d.Unfence(t.Context(), asked)
	if err != nil || state != m.state || m.got != asked {
		t.Errorf("got %+v, %v; the member was asked %+v", state, err, m.got)
	}
	m.err = fmt.Errorf("%w: 7", fence.ErrLowerToken)
	if _, err := d.Unfence(t.Context(), asked); !errors.Is(err, fence.ErrLowerToken) {
		t.Errorf("got %v, want ErrLowerToken", err)
	}
	m.err = errors.New("disk full")
	if _, err := d.Unfence(t.Context(), asked); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("got %v, want disk full", err)
	}
}

func TestABadRequestReachesNoMember(t *testing.T) {
	whole := `{"action":"Unfence","store":"s","member":"m","token":"7","switchover":"u","step":1,` +
		`"position":{"epoch":"0","index":"0"}}`
	m := &member{}
	server := httptest.NewServer(NewHandler(m))
	defer server.Close()
	post := func(body string) int {
		response, err := http.Post(server.URL, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		return response.StatusCode
	}
	if code := post(whole); code != http.StatusOK || m.calls.Load() != 1 {
		t.Fatalf("a good request: %d", code)
	}
	for _, wrong := range []string{
		"", "{", whole + "{}", strings.Replace(whole, "Unfence", "Defence", 1), strings.Replace(whole, `"7"`, "7", 1),
		strings.Replace(whole, `"token":"7",`, "", 1), strings.Replace(whole, `"step"`, `"steps"`, 1),
		strings.Replace(whole, `,"index":"0"`, "", 1), strings.Repeat(" ", maxBody) + whole,
	} {
		if code := post(wrong); code != http.StatusBadRequest {
			t.Errorf("%.60q: %d, want 400", wrong, code)
		}
	}
	if m.calls.Load() != 1 {
		t.Errorf("the member was called %d times", m.calls.Load())
	}
}

func TestAWrongURLIsRefused(t *testing.T) {
	for _, url := range []string{"", "hz-a:80", "ftp://hz-a/x", "http:///x", "http://a b/"} {
		if _, err := New(Config{URL: url}); err == nil || !strings.Contains(err.Error(), "url") {
			t.Errorf("%q: %v", url, err)
		}
	}
}
