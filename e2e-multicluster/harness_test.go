//go:build linux && e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"pentad.dev/pentad/e2e-multicluster/estate"
	"pentad.dev/pentad/e2e-multicluster/history"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/server"
)

// patience bounds every wait: the machine may be busy.
const patience = 2 * time.Minute

// site is an estate under test, and clients that write and read at it.
type site struct {
	*estate.Estate
	t       *testing.T
	clients *history.Recorder
	begin   time.Time
	faults  int
	keys    []string
}

// open makes the estate, with the servers not started.
func open(t *testing.T, change func(*estate.Config)) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "pentad-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	cfg := estate.Config{
		Binary: os.Getenv(binaryVariable), Dir: dir, Expected: estate.Places(),
	}
	if change != nil {
		change(&cfg)
	}
	s := &site{t: t, clients: history.NewRecorder(), begin: time.Now()}
	t.Cleanup(func() {
		if !t.Failed() {
			_ = os.RemoveAll(dir)
			return
		}
		t.Logf("logs, configurations and the clients' history of this run are kept in %s", dir)
	})
	if s.Estate, err = estate.New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			_ = s.clients.Save(s.Path("history.jsonl"))
		}
		if err := s.Estate.Close(); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	for i := range 8 {
		s.keys = append(s.keys, fmt.Sprint("register-", i))
	}
	return s
}

// up starts the expected servers and waits until they serve.
func (s *site) up() {
	s.t.Helper()
	if err := s.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.settled()
	s.say("%d servers serve", len(s.Expected()))
}

// say is a progress line.
func (s *site) say(format string, args ...any) {
	s.t.Helper()
	s.t.Logf("%6.1fs  %s", time.Since(s.begin).Seconds(), fmt.Sprintf(format, args...))
}

// within is a context of the usual patience.
func (s *site) within() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	s.t.Cleanup(cancel)
	return ctx
}

// load starts clients in every region.
func (s *site) load(change func(*history.Config)) {
	s.t.Helper()
	c, err := s.Client(patience)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	if err := history.Declare(s.within(), c, s.keys); err != nil {
		s.t.Fatal(err)
	}
	cfg := history.Config{
		Workers: 3, Keys: s.keys, Servers: map[string]string{}, Operator: s.Operator(),
		Pause: 30 * time.Millisecond, Timeout: 3 * time.Second,
	}
	for _, server := range s.Expected() {
		cfg.Servers[server.Name] = server.API()
	}
	if change != nil {
		change(&cfg)
	}
	seen := map[string]bool{}
	for _, server := range s.Expected() {
		if seen[server.Region] {
			continue
		}
		seen[server.Region] = true
		if cfg.Probe > 0 { // each its own, so that none waits for another
			each := len(s.keys) / len(regionsOf(s.Expected()))
			cfg.Keys = s.keys[(len(seen)-1)*each : len(seen)*each]
		}
		if err := s.clients.Start(s.Net.Host(estate.ClientHost(server.Region)).Start, cfg); err != nil {
			s.t.Fatal(err)
		}
		cfg.First += cfg.Workers
	}
}

func (s *site) leader(but ...*estate.Server) *estate.Server {
	s.t.Helper()
	leader, err := s.Estate.Leader(s.within(), but...)
	if err != nil {
		s.t.Fatal(err)
	}
	return leader
}

func (s *site) settled(servers ...*estate.Server) {
	s.t.Helper()
	if err := s.Settled(s.within(), servers...); err != nil {
		s.t.Fatal(err)
	}
}

// written waits for a write that begins from now on, and returns how long that took.
func (s *site) written(what string) time.Duration {
	s.t.Helper()
	after := history.Now()
	op, err := s.clients.Written(s.within(), after)
	if err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
	return time.Duration(op.Return - after)
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// ask makes one request at one server, and returns how it was answered and how soon; code 0 is no answer, and text why.
func (s *site) ask(server *estate.Server, method, path, contentType, body string) (code int, text string, took time.Duration) {
	s.t.Helper()
	source, err := identity.Load(s.Operator())
	s.must(err)
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: source.Client(identity.RoleServer), DisableKeepAlives: true,
	}}
	request, err := http.NewRequestWithContext(s.within(), method, "https://"+server.API()+path, strings.NewReader(body))
	s.must(err)
	request.Header.Set("Content-Type", contentType)
	start := time.Now()
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error(), time.Since(start)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	took = time.Since(start).Round(time.Millisecond)
	if err != nil {
		return 0, err.Error(), took
	}
	var status struct{ Message string }
	if json.Unmarshal(answer, &status) == nil && status.Message != "" {
		return response.StatusCode, status.Message, took
	}
	const enough = 300
	return response.StatusCode, string(answer[:min(len(answer), enough)]), took
}

// tryWrite asks one server once to declare an object of so many bytes.
func (s *site) tryWrite(server *estate.Server, size int) (code int, text string, took time.Duration) {
	s.t.Helper()
	return s.ask(server, http.MethodPatch, "/apis/pentad.dev/v1alpha1/centers/tried?force=true&fieldManager=e2e",
		"application/apply-patch+yaml", fmt.Sprintf(`{"apiVersion":"pentad.dev/v1alpha1","kind":"Center","metadata":{"name":"tried",`+
			`"annotations":{"at":"%d","much":%q}},"spec":{"region":"hangzhou"}}`, time.Now().UnixNano(), strings.Repeat("x", size)))
}

// status waits for what a server says of itself.
func (s *site) status(of *estate.Server) (status server.Status) {
	s.t.Helper()
	s.must(estate.Until(s.within(), "wait for the status of "+of.Name, func(ctx context.Context) (err error) {
		status, err = of.Status(ctx)
		return err
	}))
	return status
}

// served waits until every server has answered a read, a write and a swap that begin from now on, each to a client that
// asks only it: a history without them is not much to judge.
func (s *site) served() {
	s.t.Helper()
	type answer struct {
		server string
		kind   history.Kind
	}
	missing := map[answer]bool{}
	for _, server := range s.Expected() {
		for _, kind := range []history.Kind{history.Read, history.Write, history.Swap} {
			missing[answer{server.Name, kind}] = true
		}
	}
	from, after, ctx := len(s.clients.Ops()), history.Now(), s.within()
	_, err := s.clients.Wait(ctx, from, func(op history.Op) bool {
		if op.Outcome == history.Done && op.Call >= after {
			delete(missing, answer{op.Server, op.Kind})
		}
		return len(missing) == 0
	})
	if err != nil {
		s.t.Fatalf("without an answer: %v: %v", missing, err)
	}
}

// judge stops the clients and says whether what they saw is linearizable.
func (s *site) judge() history.Verdict {
	s.t.Helper()
	s.must(s.clients.Stop())
	v := history.Judge(s.clients.Ops())
	s.say("%d faults; %s", s.faults, v)
	return v
}

// linearizable fails the test if there is no order of what the clients saw, or if they saw too little.
func (s *site) linearizable() {
	s.t.Helper()
	s.served()
	s.ordered()
}

// ordered fails the test if there is no order of what the clients saw.
func (s *site) ordered() {
	s.t.Helper()
	v := s.judge()
	if v.Linearizable {
		return
	}
	picture := s.Path("history.html")
	s.t.Errorf("%s (%s, picture: %v)", v, picture, v.Draw(picture))
}

func names(servers ...*estate.Server) string {
	var list []string
	for _, s := range servers {
		list = append(list, s.Name)
	}
	return strings.Join(list, ", ")
}
