package agents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/feed/feedpb"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/identity/ca"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/process"
	"pentad.dev/pentad/process/cut"
)

var quiet = slog.New(slog.DiscardHandler)

const registry = `
services:
- name: orders
  ports: [{name: grpc, port: 9000, protocol: GRPC}]
  instances:
  - {name: orders-1, address: 10.0.0.1, ports: {grpc: 9000}}
`

// site is an authority and files under one folder.
type site struct {
	t         *testing.T
	dir       string
	authority *ca.Authority
}

func newSite(t *testing.T) *site {
	s := &site{t: t, dir: t.TempDir()}
	var err error
	s.authority, err = ca.Open(filepath.Join(s.dir, "ca"), "pentad.test", time.Hour)
	check(t, err)
	check(t, os.WriteFile(s.path("registry.yaml"), []byte(registry), 0o600))
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) certificates(role identity.Role, name string) identity.Files {
	base := s.path(string(role) + "-" + strings.ReplaceAll(name, "/", "-"))
	files := identity.Files{Cert: base + ".crt", Key: base + ".key", CA: s.path("ca.pem")}
	check(s.t, s.authority.Issue(ca.Request{
		ID:       identity.ID{TrustDomain: "pentad.test", Role: role, Name: name},
		Hosts:    []string{"127.0.0.1"},
		Validity: time.Hour,
	}, files))
	return files
}

// holder serves feeds over mutual TLS as a server or a relay does, and says what it holds.
func (s *site) holder(role identity.Role, name string) (*feed.Set, string) {
	s.t.Helper()
	source, err := identity.Load(s.certificates(role, name))
	check(s.t, err)
	set, err := feed.OpenSet("", feed.Options{})
	check(s.t, err)
	service, err := feed.NewService(feed.ServiceConfig{Set: set, Authorize: func(ctx context.Context, id feed.ID) error {
		caller, err := identity.Caller(ctx)
		if err == nil && !strings.HasPrefix(string(id), caller.Name+"/") {
			err = fmt.Errorf("%s may not write %s", caller, id)
		}
		return err
	}})
	check(s.t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(s.t, err)
	server := grpc.NewServer(append(feed.ServerOptions(),
		grpc.Creds(credentials.NewTLS(source.Server(identity.RoleAgent))))...)
	feedpb.RegisterFeedsServer(server, service)
	go server.Serve(listener)
	s.t.Cleanup(server.Stop)
	return set, listener.Addr().String()
}

func (s *site) config(servers []Server, relays ...Relay) Config {
	return Config{
		Cluster: "vm-hz-a", Place: process.Place{Region: "hangzhou", Center: "hz-a"}, DataDir: s.path("data"),
		Listen: Listen{Admin: "127.0.0.1:0"}, Certificates: s.certificates(identity.RoleAgent, "vm-hz-a"),
		Servers: servers, Relays: relays,
		Sources: []Source{{Name: "static", Type: SourceFile, Path: s.path("registry.yaml")}},
	}
}

func TestTheProcessPublishesOverMutualTLSAndSaysSo(t *testing.T) {
	s := newSite(t)
	_, farAddress := s.holder(identity.RoleServer, "sh-a")
	near, nearAddress := s.holder(identity.RoleServer, "hz-b")
	relay, relayAddress := s.holder(identity.RoleRelay, "vm-hz-a/relay-1")
	p, err := New(s.config([]Server{
		{Name: "sh-a", Place: process.Place{Region: "shanghai", Center: "sh-a"}, GRPC: farAddress},
		{Name: "hz-b", Place: process.Place{Region: "hangzhou", Center: "hz-b"}, GRPC: nearAddress},
	}, Relay{Name: "relay-1", GRPC: relayAddress}), quiet)
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	for _, set := range []*feed.Set{near, relay} {
		for _, id := range []feed.ID{"vm-hz-a/static", model.ReportsFeed("vm-hz-a")} {
			eventually(t, string(id), func() bool { l, ok := set.Get(id); return ok && l.Len() > 0 })
		}
	}
	page := "http://" + p.listeners["admin"].Addr().String()
	eventually(t, "ready", func() bool { code, _ := get(t, page+"/readyz"); return code == http.StatusOK })
	var status Status
	var body []byte
	// The farther one may have been there first, but not for long.
	eventually(t, "publishing to the nearest server alone", func() bool {
		_, body = get(t, page+"/status")
		status = Status{}
		check(t, json.Unmarshal(body, &status))
		connected := map[string]bool{}
		for _, p := range status.Peers {
			connected[p.Name] = p.Connected
		}
		return connected["hz-b"] && !connected["sh-a"] && connected["relay-1"]
	})
	if status.Cluster != "vm-hz-a" || status.Center != "hz-a" || status.Feeds["vm-hz-a/static"].Records != 2 ||
		len(status.Sources) != 1 || status.Sources[0].Endpoints != 1 || len(status.Peers) != 3 {
		t.Errorf("status %s", body)
	}
	_, body = get(t, page+"/metrics")
	if !strings.Contains(string(body), `pentad_agent_source_endpoints{source="static"} 1`) {
		t.Error("the metrics do not count endpoints")
	}
	cancel()
	check(t, <-done)
}

func TestAnAgentWithStoresHasThemOnItsPageAndIsCutOffWithItsRegion(t *testing.T) {
	s := newSite(t)
	_, address := s.holder(identity.RoleServer, "sh-a")
	far := process.Place{Region: "shanghai", Center: "sh-a"}
	config := s.config([]Server{{Name: "sh-a", Place: far, GRPC: address}})
	config.Listen.GRPC, config.Place = "127.0.0.1:0", process.Place{Region: "hangzhou", Center: "hz-a"}
	network := &cut.File{
		Places: map[string]process.Place{address: far}, Cuts: []cut.Between{{From: cut.Selector{Region: "hangzhou"}}},
	}
	path := filepath.Join(t.TempDir(), "cut.json")
	check(t, network.Save(path))
	t.Setenv(cut.Env, path)
	p, err := New(config, quiet)
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	connected := func() bool {
		var status Status
		_, body := get(t, "http://"+p.listeners["admin"].Addr().String()+"/status")
		return json.Unmarshal(body, &status) == nil && status.Permits.Session.Session != "" && status.Peers[0].Connected &&
			status.Stores.Servers[0].Connected
	}
	time.Sleep(200 * time.Millisecond)
	if connected() {
		t.Error("the agent is connected over the cut")
	}
	network.Cuts = nil
	check(t, network.Save(path))
	eventually(t, "connections once the cut has healed", connected)
	cancel()
	check(t, <-done)
}

func TestAWrongStartIsAUsageErrorAndHoldsNothing(t *testing.T) {
	s := newSite(t)
	servers := []Server{{Name: "hz-a", Place: process.Place{Region: "r", Center: "c"}, GRPC: "127.0.0.1:1"}}
	taken, err := New(s.config(servers), quiet)
	check(t, err)
	for want, wrong := range map[string]func(*Config){
		"in use by another process":     func(*Config) {},
		"this agent is spiffe://pentad": func(c *Config) { c.Certificates = s.certificates(identity.RoleAgent, "other") },
		"certificates: stat":            func(c *Config) { c.Certificates.Key = s.path("none") },
		"services[0].prot: Invalid value: 1: unknown field": func(c *Config) {
			c.Sources[0].Path = s.path("wrong.yaml")
			check(t, os.WriteFile(c.Sources[0].Path, []byte("services: [{name: orders, prot: 1}]"), 0o600))
		},
		"listen.admin": func(c *Config) { c.Listen.Admin = taken.listeners["admin"].Addr().String() },
	} {
		config := s.config(servers)
		wrong(&config)
		var usage *process.UsageError
		if _, err := New(config, quiet); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want a usage error with %q", err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	check(t, taken.Run(ctx))
	again, err := New(s.config(servers), quiet) // everything was given back
	check(t, err, again.Run(ctx))
}

const goodConfig = `
cluster: vm-hz-a
region: hangzhou
center: hz-a
dataDir: data
listen: {admin: "127.0.0.1:7000"}
certificates: {cert: a, key: b, ca: c}
servers: [{name: hz-a, region: hangzhou, center: hz-a, grpc: "127.0.0.1:7001"}]
relays: [{name: relay-1, grpc: "127.0.0.1:7002"}]
sources: [{name: static, type: file, path: registry.yaml}]
`

func TestAWrongConfigurationNamesItsField(t *testing.T) {
	check(t, process.ParseConfig("agent.yaml", []byte(goodConfig), &Config{}))
	for _, c := range []struct{ old, bad, want string }{
		{"cluster: vm-hz-a", "", "cluster: must not be empty"},
		{"region: hangzhou\n", "", "region: must not be empty"},
		{"cluster:", "clsuter: x\ncluster:", `unknown field "clsuter"`},
		{`admin: "127.0.0.1:7000"`, "admin: x", `listen.admin: "x" is not host:port`},
		{`admin: "127.0.0.1:7000"`, `admin: "127.0.0.1:7000", grpc: x`, `listen.grpc: "x" is not host:port`},
		{"key: b, ", "", "certificates.key"},
		{`grpc: "127.0.0.1:7001"`, "grpc: x", `servers[0].grpc: "x" is not host:port`},
		{`grpc: "127.0.0.1:7002"`, "grpc: x", `relays[0].grpc: "x" is not host:port`},
		{"name: static, ", "", "sources[0].name: must not be empty"},
		{"name: static", "name: Static", `sources[0].name: Invalid value: "Static"`},
		{"name: static", "name: reports", `sources[0].name: "reports" is taken already`},
		{"type: file", "type: consul", `sources[0].type: Unsupported value: "consul": supported values: "file"`},
		{", path: registry.yaml", "", "sources[0].path: must not be empty"},
		{"sources: [{name: static, type: file, path: registry.yaml}]", "", "sources: must name at least one source"},
	} {
		text := strings.Replace(goodConfig, c.old, c.bad, 1)
		err := process.ParseConfig("agent.yaml", []byte(text), &Config{})
		if text == goodConfig || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %s", c.bad, err, c.want)
		}
	}
}

func get(t *testing.T, url string) (int, []byte) {
	t.Helper()
	response, err := http.Get(url)
	check(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	check(t, err)
	return response.StatusCode, body
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within two minutes", what)
		}
	}
}

func check(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
