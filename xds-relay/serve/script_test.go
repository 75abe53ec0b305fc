package serve

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pentad.dev/pentad/federation/feed"
)

// A script drives the state machine without gRPC: requests in, responses out. Its lines are
//
//	# comment
//	commit [@RELAY] TYPE/name=content -TYPE/name ...   one commit of the feed; -: a deletion
//	begin [@RELAY] TYPE/name=content ...               a new incarnation with this whole set
//	CLIENT TYPE name ... [version=V] [nonce=N]         a request; the client's own version and nonce if not given
//	CLIENT ack TYPE | CLIENT nack TYPE reason          answers the oldest unanswered response
//	CLIENT open [@RELAY] | CLIENT close
//	after 10s                                          the clock moves
//	quiet | answer                                     from now on streams don't (do) look for what is to be sent
//	< CLIENT TYPE name=content !name !name=content     what the step above sent, all of it, in order; !: with an error
//	< CLIENT ended
//
// On demand, names "server/..." exist; names "gone/..." have a stand-in. Content "x@7" has the since 7; a response
// whose version begins with one is shown as "< CLIENT TYPE @7 ...".
type script struct {
	faults  faults
	now     time.Time
	relays  map[string]*scriptRelay
	clients map[string]*scriptClient
	names   []string // of clients, in order of appearance
	quiet   bool
	out     []string
}

type scriptRelay struct {
	log    *feed.Log
	cursor *feed.Cursor
	table  *table
}

// scriptClient is the client's side of a stream, as real clients keep it: versions outlive streams, nonces do not.
type scriptClient struct {
	core       *sotw
	relay      *scriptRelay
	versions   map[string]string
	nonces     map[string]string
	names      map[string][]string
	unanswered map[string][]*response
	most       int
}

var shortTypes = map[string]string{
	"LDS": ListenerType, "RDS": RouteType, "CDS": ClusterType, "EDS": EndpointType, "SDS": SecretType,
	"XDS": "example.com/X",
}

func shortType(url string) string {
	for short, u := range shortTypes {
		if u == url {
			return short
		}
	}
	return url
}

func scriptConfig() Config {
	return Config{
		OnDemand: func(_, name string) ([]byte, bool) { return []byte("made"), strings.HasPrefix(name, "server/") },
		Absent:   func(_, name string) ([]byte, bool) { return []byte("refuse"), strings.HasPrefix(name, "gone/") },
		Since:    scriptSince,
	}
}

func scriptSince(_ string, body []byte) uint64 {
	_, text, _ := strings.Cut(string(body), "@")
	since, _ := strconv.ParseUint(text, 10, 64)
	return since
}

func newScript(f faults) *script {
	return &script{
		faults: f, now: time.Unix(1_000_000, 0), relays: make(map[string]*scriptRelay),
		clients: make(map[string]*scriptClient),
	}
}

func (s *script) relay(name string) *scriptRelay {
	r := s.relays[name]
	if r == nil {
		l := feed.NewLog("resources", feed.Filter{}, feed.Options{})
		cfg := scriptConfig()
		cfg.faults = s.faults
		r = &scriptRelay{log: l, cursor: l.Cursor(feed.Position{}), table: newTable(cfg)}
		s.relays[name] = r
		if _, err := l.Begin(uint64(len(s.relays))<<20, nil); err != nil {
			panic(err)
		}
		s.pump(r)
	}
	return r
}

func (s *script) pump(r *scriptRelay) {
	for b, ok := r.cursor.Next(); ok; b, ok = r.cursor.Next() {
		r.table.apply(b, s.now)
	}
}

func (s *script) open(name, at string) *scriptClient {
	c := s.clients[name]
	if c == nil {
		c = &scriptClient{versions: make(map[string]string)}
		s.clients[name] = c
		s.names = append(s.names, name)
	}
	if c.core != nil {
		c.core.close()
	}
	cfg := scriptConfig()
	cfg.faults = s.faults
	c.relay = s.relay(at)
	c.core = newSotw(cfg.withDefaults(), c.relay.table)
	c.nonces, c.names = make(map[string]string), make(map[string][]string)
	c.unanswered = make(map[string][]*response)
	return c
}

// look lets every stream send.
func (s *script) look() {
	if s.quiet {
		return
	}
	for _, name := range s.names {
		c := s.clients[name]
		if c.core == nil {
			continue
		}
		responses, _, err := c.core.respond(s.now)
		for _, r := range responses {
			s.out = append(s.out, "< "+name+" "+show(r))
			c.unanswered[r.kind.url] = append(c.unanswered[r.kind.url], r)
			c.most = max(c.most, len(c.unanswered[r.kind.url]))
		}
		if err != nil {
			s.end(name, c)
		}
	}
}

func (s *script) end(name string, c *scriptClient) {
	s.out = append(s.out, "< "+name+" ended")
	c.core.close()
	c.core = nil
}

func show(r *response) string {
	words := []string{shortType(r.kind.url)}
	if since, _, _ := strings.Cut(r.version, "."); since != "" && since != "0" {
		words = append(words, "@"+since)
	}
	for _, res := range r.resources {
		word := res.name
		if res.missing {
			word = "!" + word
		}
		if res.body() != nil {
			word += "=" + string(res.body())
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// run runs a whole script and returns the first difference between what it expects and what was sent.
func (s *script) run(text string) error {
	var last string
	var got, want []string
	compare := func() error {
		if !slices.Equal(got, want) {
			return fmt.Errorf("%q\nsent     %s\nexpected %s", last, strings.Join(got, "; "), strings.Join(want, "; "))
		}
		return nil
	}
	for n, line := range strings.Split(text, "\n") {
		line = strings.Join(strings.Fields(line), " ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "<"):
			want = append(want, line)
		default:
			if err := compare(); err != nil {
				return err
			}
			var err error
			if got, err = s.step(line); err != nil {
				return fmt.Errorf("line %d: %q: %w", n+1, line, err)
			}
			last, want = line, nil
		}
	}
	return compare()
}

func scripts(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	out := make(map[string]string)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(file), ".txt")] = string(text)
	}
	return out
}

func TestScripts(t *testing.T) {
	for name, text := range scripts(t) {
		t.Run(name, func(t *testing.T) {
			if err := newScript(faults{}).run(text); err != nil {
				t.Fatal(err)
			}
		})
	}
}
