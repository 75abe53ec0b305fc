package server

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/client"
	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/identity/ca"
	"pentad.dev/pentad/process"
	"pentad.dev/pentad/process/loopback"
)

const trustDomain = "pentad.test"

// environment is held by whoever sets a variable for a process that it makes, or must not see those of others.
var environment sync.RWMutex

// estate is a few servers in this process, with real sockets, certificates, logs and disks.
type estate struct {
	t         *testing.T
	log       *slog.Logger
	authority *ca.Authority
	raft      *ca.Authority
	configs   []Config
	servers   []*Server
	stops     []context.CancelFunc
	done      []chan error
	// election is the same for all: a leader is silent for as long as those would not wait whose timeout is shorter.
	election *metav1.Duration
}

func newEstate(t *testing.T, n int) *estate {
	t.Helper()
	e := layEstate(t, n)
	for i := range e.configs {
		e.start(i)
	}
	return e
}

// layEstate is newEstate with no server started yet.
func layEstate(t *testing.T, n int) *estate {
	t.Helper()
	e := &estate{t: t, log: newJournal(t), election: electionTimeout()}
	var err error
	if e.authority, err = ca.Open(t.TempDir(), trustDomain, time.Hour); err != nil {
		t.Fatal(err)
	}
	if e.raft, err = ca.Open(t.TempDir(), trustDomain, time.Hour); err != nil {
		t.Fatal(err)
	}
	var peers []Peer
	for i := range n {
		config := e.lay(i)
		peers = append(peers, peerOf(config))
		e.add(config)
	}
	for i := range e.configs {
		e.configs[i].Servers = peers
	}
	t.Cleanup(func() {
		for i := range e.servers {
			e.stop(i)
		}
	})
	return e
}

// lay is the configuration of a further server, which names no servers yet.
func (e *estate) lay(i int) Config {
	name := fmt.Sprintf("s%d", i+1)
	config := Config{
		Name: name, Place: process.Place{Region: fmt.Sprintf("r%d", i/2+1), Center: name}, DataDir: e.t.TempDir(),
		Listen:          Listen{Raft: loopback.Address(e.t), GRPC: loopback.Address(e.t), API: loopback.Address(e.t), Admin: loopback.Address(e.t)},
		ElectionTimeout: e.election,
		adjust:          e.adjust(name, true), // else each test of permits takes many seconds
	}
	id := identity.ID{TrustDomain: trustDomain, Role: identity.RoleServer, Name: name}
	config.Certificates, config.RaftCertificates = issue(e.t, e.authority, id), issue(e.t, e.raft, id)
	config.APIClientCA = config.Certificates.CA
	return config
}

// adjust has a server wait for a busy machine's disk, and end its test, not the process of all tests, when it fails.
func (e *estate) adjust(name string, shortPermits bool) Adjust {
	return Adjust{ShortPermits: shortPermits, Consensus: func(c *consensus.Config) {
		c.DiskTimeout = patient
		c.Fatal = func(err error) { e.t.Errorf("the disk of server %s: %v", name, err) }
	}}
}

func peerOf(config Config) Peer {
	return Peer{Name: config.Name, Place: config.Place, Raft: config.Listen.Raft, GRPC: config.Listen.GRPC}
}

// add takes a server in that is not started yet.
func (e *estate) add(config Config) (i int) {
	e.configs = append(e.configs, config)
	e.servers, e.stops, e.done = append(e.servers, nil), append(e.stops, nil), append(e.done, nil)
	return len(e.configs) - 1
}

func (e *estate) start(i int) {
	e.t.Helper()
	environment.RLock()
	began := time.Now()
	s, err := New(e.configs[i], e.log.With("server", e.configs[i].Name))
	started(time.Since(began))
	environment.RUnlock()
	if err != nil {
		e.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	e.servers[i], e.stops[i], e.done[i] = s, cancel, done
	go func() { done <- s.Run(ctx) }()
}

func (e *estate) stop(i int) {
	if e.servers[i] == nil {
		return
	}
	e.stops[i]()
	if err := <-e.done[i]; err != nil {
		e.t.Errorf("server %s: %v", e.configs[i].Name, err)
	}
	e.servers[i] = nil
}

// leader waits until every running server knows the same leader, and returns its index.
func (e *estate) leader() int {
	e.t.Helper()
	for deadline := time.Now().Add(patient); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		known := map[string]bool{}
		for _, s := range e.servers {
			if s != nil {
				id, _, _ := s.node.Leader()
				known[id] = true
			}
		}
		for i, config := range e.configs {
			if len(known) == 1 && known[config.Name] && e.servers[i] != nil && e.servers[i].node.IsLeader() {
				return i
			}
		}
	}
	e.t.Fatal("no leader")
	return -1
}

// source is an identity that the estate's authority signed.
func (e *estate) source(role identity.Role, name string, organizations ...string) *identity.Source {
	e.t.Helper()
	files := issue(e.t, e.authority, identity.ID{TrustDomain: trustDomain, Role: role, Name: name}, organizations...)
	source, err := identity.Load(files)
	if err != nil {
		e.t.Fatal(err)
	}
	return source
}

// api is a client of one server's API.
func (e *estate) api(i int, timeout time.Duration) *client.Client {
	e.t.Helper()
	operator := e.source(identity.RoleOperator, "ops", "pentad:admins")
	c, err := client.New(client.Config{
		Endpoints: []string{e.configs[i].Listen.API}, TLS: operator.Client(identity.RoleServer), Timeout: timeout,
	})
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(c.Close)
	return c
}

func issue(t *testing.T, authority *ca.Authority, id identity.ID, organizations ...string) identity.Files {
	t.Helper()
	dir := t.TempDir()
	files := identity.Files{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), CA: filepath.Join(dir, "ca.crt")}
	err := authority.Issue(ca.Request{ID: id, Organizations: organizations, Hosts: []string{"127.0.0.1"}, Validity: time.Hour}, files)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// journal keeps the last lines of everybody's log, for a test that fails.
type journal struct {
	mu    sync.Mutex
	lines []string
}

// journalLines are how many.
const journalLines = 300

func newJournal(t *testing.T) *slog.Logger {
	j := &journal{}
	t.Cleanup(func() {
		if t.Failed() {
			j.mu.Lock()
			defer j.mu.Unlock()
			t.Logf("the last %d lines of the logs:\n%s", len(j.lines), strings.Join(j.lines, ""))
		}
	})
	return slog.New(slog.NewTextHandler(j, nil))
}

// Write implements io.Writer.
func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.lines) == journalLines {
		j.lines = j.lines[1:]
	}
	j.lines = append(j.lines, string(line))
	return len(line), nil
}
