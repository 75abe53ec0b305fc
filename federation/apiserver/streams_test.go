package apiserver

import (
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestStreamsAreNotBoundedByTime: a page that is a stream goes on as long as its handler does, the others end in time.
func TestStreamsAreNotBoundedByTime(t *testing.T) {
	var mu sync.Mutex
	bounded := map[string]bool{}
	pages := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		_, bounded[r.Method+" "+r.URL.Path] = r.Context().Deadline()
	})
	s := serve(t, newAuthority(t), newEstate(t, 1).members[0], func(c *Config) { c.Pages, c.Streams = pages, []string{"/pentad/long"} })
	for request, want := range map[string]bool{"GET /pentad/long": false, "POST /pentad/long": true, "GET /pentad/short": true} {
		method, path, _ := strings.Cut(request, " ")
		if got := s.do(t, admins(), method, path, "", ""); got.code != http.StatusOK {
			t.Errorf("%s: %d %s", request, got.code, got.body)
		}
		mu.Lock()
		if got, asked := bounded[request]; !asked || got != want {
			t.Errorf("%s: asked %t, bounded %t; want %t", request, asked, got, want)
		}
		mu.Unlock()
	}
}
