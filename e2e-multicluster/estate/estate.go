//go:build linux

// Package estate runs federation servers as processes, each on a host and a disk of its own, for tests that do to them
// what happens to servers.
package estate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"pentad.dev/pentad/client"
	"pentad.dev/pentad/e2e-multicluster/disk"
	"pentad.dev/pentad/e2e-multicluster/netns"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/identity/ca"
	"pentad.dev/pentad/process"
)

const (
	trustDomain = "e2e.pentad"
	validity    = 24 * time.Hour
	// adminsGroup is the API's group that may do everything.
	adminsGroup = "pentad:admins"
	// binaryFile and disksFolder are in the folder of a run.
	binaryFile, disksFolder = "pentad", "disks"
	// diskSize holds a log of ten minutes of a test's writes, and is filled in a moment.
	diskSize = 384 << 20
)

// Places are the reference estate: three regions, five centers.
func Places() []process.Place {
	return []process.Place{
		{Region: "hangzhou", Center: "hz-a"}, {Region: "hangzhou", Center: "hz-b"},
		{Region: "shanghai", Center: "sh-a"}, {Region: "shanghai", Center: "sh-b"},
		{Region: "shenzhen", Center: "sz-a"},
	}
}

// Config says what to run.
type Config struct {
	// Binary is the pentad executable.
	Binary string
	// Dir is the folder of the run, made and empty.
	Dir string
	// Expected are the servers that bootstrap together.
	Expected []process.Place
	// Spare are hosts for servers that join later.
	Spare []process.Place
	// ElectionTimeout of every server; 0: the default.
	ElectionTimeout time.Duration
}

// Estate is the servers, the network between them, and a host for clients in each region.
type Estate struct {
	cfg      Config
	Net      *netns.Network
	guardian *disk.Guardian
	all      *ca.Authority
	raft     *ca.Authority
	operator identity.Files
	servers  []*Server
	binary   string
}

// New makes everything and starts nothing. What it makes is gone after Close, or when this process ends.
func New(cfg Config) (_ *Estate, err error) {
	e := &Estate{cfg: cfg, binary: filepath.Join(cfg.Dir, binaryFile)}
	for _, folder := range []string{"pki", "config", "logs", disksFolder} {
		if err := os.MkdirAll(e.path(folder), 0o755); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			_ = e.Close()
		}
	}()
	if e.guardian, err = disk.Guarded(cfg.Dir, disksFolder, binaryFile); err != nil {
		return nil, err
	}
	// A copy: the executable may be built anew while the test runs.
	if out, err := exec.Command("cp", cfg.Binary, e.binary).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("copy of %s: %w: %s", cfg.Binary, err, out)
	}
	if err := e.openAuthorities(); err != nil {
		return nil, err
	}
	var hosts []netns.Place
	regions := map[string]bool{}
	all := append(append([]process.Place(nil), cfg.Expected...), cfg.Spare...)
	for _, p := range all {
		hosts = append(hosts, netns.Place{Name: p.Center, Region: p.Region})
		if !regions[p.Region] {
			hosts = append(hosts, netns.Place{Name: ClientHost(p.Region), Region: p.Region})
		}
		regions[p.Region] = true
	}
	hub, err := netns.Own()
	if err != nil {
		return nil, err
	}
	if e.Net, err = netns.NewNetwork(hub, hosts...); err != nil {
		return nil, err
	}
	for _, p := range all {
		if err := e.add(p); err != nil {
			return nil, err
		}
	}
	for i := range cfg.Expected {
		if err := e.servers[i].writeConfig(e.servers[:len(cfg.Expected)]); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// ClientHost is the name of a region's host for clients.
func ClientHost(region string) string { return "client-" + region }

func (e *Estate) openAuthorities() (err error) {
	if e.all, err = ca.Open(e.path("pki", "ca"), trustDomain, validity); err != nil {
		return err
	}
	if e.raft, err = ca.Open(e.path("pki", "raft-ca"), trustDomain, validity); err != nil {
		return err
	}
	e.operator, err = e.issue(e.all, "operator", identity.RoleOperator, "e2e", "", adminsGroup)
	return err
}

func (e *Estate) issue(a *ca.Authority, folder string, role identity.Role, name, host string, groups ...string) (identity.Files, error) {
	file := func(file string) string { return e.path("pki", folder, file) }
	files := identity.Files{Cert: file("tls.crt"), Key: file("tls.key"), CA: file("ca.crt")}
	request := ca.Request{
		ID: identity.ID{TrustDomain: trustDomain, Role: role, Name: name}, Organizations: groups, Validity: validity,
	}
	if host != "" {
		request.Hosts = []string{host}
	}
	return files, a.Issue(request, files)
}

func (e *Estate) path(parts ...string) string {
	return filepath.Join(append([]string{e.cfg.Dir}, parts...)...)
}

// Path is a file in the folder of the run.
func (e *Estate) Path(name string) string { return e.path(name) }

// Operator is the identity that may do everything.
func (e *Estate) Operator() identity.Files { return e.operator }

// Servers are the servers that bootstrap together, then the spare ones.
func (e *Estate) Servers() []*Server { return e.servers }

// Expected are the servers that bootstrap together.
func (e *Estate) Expected() []*Server { return e.servers[:len(e.cfg.Expected)] }

// Server is the server of that name; it must be there.
func (e *Estate) Server(name string) *Server {
	for _, s := range e.servers {
		if s.Name == name {
			return s
		}
	}
	panic("no server " + name)
}

// Others are the expected servers but these.
func (e *Estate) Others(but ...*Server) []*Server {
	return slices.DeleteFunc(slices.Clone(e.Expected()), func(s *Server) bool { return slices.Contains(but, s) })
}

// Isolate cuts every way between a server and the other servers, in one direction or both. Clients still reach it.
func (e *Estate) Isolate(s *Server, out, in bool) error {
	var errs []error
	for _, other := range e.servers {
		if other == s {
			continue
		}
		if out {
			errs = append(errs, e.Net.Cut(s.Name, other.Name))
		}
		if in {
			errs = append(errs, e.Net.Cut(other.Name, s.Name))
		}
	}
	return errors.Join(errs...)
}

// Split cuts every way between two groups of servers.
func (e *Estate) Split(some, others []*Server) error {
	var errs []error
	for _, a := range some {
		for _, b := range others {
			errs = append(errs, e.Net.Cut(a.Name, b.Name), e.Net.Cut(b.Name, a.Name))
		}
	}
	return errors.Join(errs...)
}

// Start starts these servers, all expected ones if none is named.
func (e *Estate) Start(servers ...*Server) error {
	if len(servers) == 0 {
		servers = e.Expected()
	}
	var errs []error
	for _, s := range servers {
		errs = append(errs, s.Start())
	}
	return errors.Join(errs...)
}

// Client is a client of these servers' APIs that nothing cuts off, all expected ones if none is named.
func (e *Estate) Client(timeout time.Duration, servers ...*Server) (*client.Client, error) {
	source, err := identity.Load(e.operator)
	if err != nil {
		return nil, err
	}
	if len(servers) == 0 {
		servers = e.Expected()
	}
	var endpoints []string
	for _, s := range servers {
		endpoints = append(endpoints, s.config.Listen.API)
	}
	return client.New(client.Config{TLS: source.Client(identity.RoleServer), Endpoints: endpoints, Timeout: timeout})
}

// Command runs a pentad command where nothing is cut off, and returns what it printed, what it said to standard error,
// and its exit status.
func (e *Estate) Command(ctx context.Context, args ...string) (output, said string, status int, err error) {
	cmd := exec.CommandContext(ctx, e.binary, args...)
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() >= 0 {
		status, err = exit.ExitCode(), nil
	}
	return out.String(), words.String(), status, err
}

// Close kills what runs and takes everything away but the folder, in which the logs are.
func (e *Estate) Close() error {
	var errs []error
	for _, s := range e.servers {
		errs = append(errs, s.close())
		// Who asked for what belongs to the logs. One that was never started has none.
		_ = exec.Command("cp", filepath.Join(s.DataDir(), "audit.log"), e.path("logs", s.Name+"-audit.log")).Run()
	}
	if e.Net != nil {
		e.Net.Close()
	}
	for _, s := range e.servers {
		if s.Disk != nil {
			errs = append(errs, s.Disk.Close())
		}
	}
	if e.guardian != nil {
		errs = append(errs, e.guardian.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(e.binary))...)
}
