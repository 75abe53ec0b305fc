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

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"

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

// step runs one line and returns what it made the streams send.
func (s *script) step(line string) ([]string, error) {
	s.out = nil
	words := strings.Fields(line)
	at := ""
	if i := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "@") }); i >= 0 {
		at = words[i][1:]
		words = slices.Delete(words, i, i+1)
	}
	switch verb, rest := words[0], words[1:]; verb {
	case "commit", "begin":
		if err := s.commit(s.relay(at), verb == "begin", rest); err != nil {
			return nil, err
		}
	case "after":
		d, err := time.ParseDuration(rest[0])
		if err != nil {
			return nil, err
		}
		s.now = s.now.Add(d)
	case "quiet", "answer":
		s.quiet = verb == "quiet"
	default:
		if err := s.client(verb, at, rest); err != nil {
			return nil, err
		}
	}
	s.look()
	return s.out, nil
}

func (s *script) commit(r *scriptRelay, begin bool, words []string) error {
	var changes []feed.Change
	for _, w := range words {
		name, gone := strings.CutPrefix(w, "-")
		short, rest, _ := strings.Cut(name, "/")
		key, content, ok := strings.Cut(rest, "=")
		if shortTypes[short] == "" || ok == gone {
			return fmt.Errorf("commit: %q is not TYPE/name=content or -TYPE/name", w)
		}
		c := feed.Change{Kind: shortTypes[short], Key: key}
		if !gone {
			c.Value = []byte(content)
		}
		changes = append(changes, c)
	}
	var err error
	if begin {
		_, err = r.log.Begin(r.log.Position().Incarnation+1<<20, changes)
	} else {
		_, err = r.log.Commit(changes...)
	}
	s.pump(r)
	return err
}

func (s *script) client(name, at string, words []string) error {
	switch words[0] {
	case "open":
		s.open(name, at)
		return nil
	case "close":
		s.clients[name].core.close()
		s.clients[name].core = nil
		return nil
	}
	c := s.clients[name]
	if c == nil {
		c = s.open(name, at)
	}
	if c.core == nil {
		return fmt.Errorf("%s has no stream", name)
	}
	req := &discovery.DiscoveryRequest{TypeUrl: shortTypes[words[0]]}
	if words[0] == "ack" || words[0] == "nack" {
		req.TypeUrl = shortTypes[words[1]]
		if len(c.unanswered[req.TypeUrl]) == 0 {
			return fmt.Errorf("%s has no unanswered %s", name, words[1])
		}
		r := c.unanswered[req.TypeUrl][0]
		c.unanswered[req.TypeUrl] = c.unanswered[req.TypeUrl][1:]
		c.nonces[req.TypeUrl] = r.nonce
		req.ResourceNames, req.ResponseNonce = c.names[req.TypeUrl], r.nonce
		if words[0] == "nack" {
			req.ErrorDetail = &rpcstatus.Status{Code: int32(codes.InvalidArgument), Message: strings.Join(words[2:], " ")}
		} else {
			c.versions[req.TypeUrl] = r.version
		}
		req.VersionInfo = c.versions[req.TypeUrl]
	} else {
		req.VersionInfo, req.ResponseNonce = c.versions[req.TypeUrl], c.nonces[req.TypeUrl]
		for _, w := range words[1:] {
			if v, ok := strings.CutPrefix(w, "version="); ok {
				req.VersionInfo = v
			} else if n, ok := strings.CutPrefix(w, "nonce="); ok {
				req.ResponseNonce = n
			} else {
				req.ResourceNames = append(req.ResourceNames, w)
			}
		}
		c.names[req.TypeUrl] = req.ResourceNames
	}
	if _, err := c.core.request(req, s.now); err != nil {
		s.end(name, c)
	}
	return nil
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
