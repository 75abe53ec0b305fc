package sim

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/identity/ca"
	"pentad.dev/pentad/federation/server"
	"pentad.dev/pentad/process"
)

const trustDomain = "pentad.sim"

// regions are where the five centers of an estate are.
var regions = map[string]string{
	"hz-a": "hangzhou", "hz-b": "hangzhou", "sh-a": "shanghai", "sh-b": "shanghai", "sz-a": "shenzhen",
	spare: "shanghai",
}

var centers = []string{"hz-a", "hz-b", "sh-a", "sh-b", "sz-a"}

// clusters are the centers with a cluster of workloads.
var clusters = []string{"hz-a", "sh-a", "sz-a"}

// electionTimeout is longer than a server's default: a quarter of the messages of an idle estate are heartbeats.
const electionTimeout = time.Second

// estate is everything that is simulated in one run. It lives in one bubble of synctest.
type estate struct {
	t         *testing.T
	dir       string
	seed      uint64
	began     time.Time
	net       *network
	oracle    *oracle
	hearings  *hearings
	journal   *journal
	log       *slog.Logger
	authority *ca.Authority
	raftCA    *ca.Authority
	servers   map[string]*center
	programs  map[string]*program
	stores    *stores
	clients   *clients
	units     bool     // there are units, and what they need
	names     []string // of the programs
	plant     plant

	clock sync.Mutex
	off   time.Duration
	ended bool
	still bool // nothing changes any more
}

func newEstate(t *testing.T, seed uint64, units bool, p plant) *estate {
	t.Helper()
	e := &estate{
		t: t, dir: folder(t), seed: seed, began: time.Now(), net: newNetwork(seed),
		journal: &journal{began: time.Now()}, servers: map[string]*center{}, programs: map[string]*program{}, plant: p,
		stores: &stores{dirs: map[string]string{}}, units: units, hearings: newHearings(),
	}
	e.oracle = newOracle(e)
	e.log = slog.New(slog.NewTextHandler(e.journal, &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: e.journal.attribute}))
	e.authority, e.raftCA = e.newAuthority("ca"), e.newAuthority("raft-ca")
	var peers []server.Peer
	for _, name := range centers {
		e.net.add(name, regions[name])
		peers = append(peers, server.Peer{
			Name: name, Place: process.Place{Region: regions[name], Center: name}, Raft: name + ":1", GRPC: name + ":2",
		})
	}
	e.net.add(spare, regions[spare])
	for i, name := range e.everyone() {
		s := &center{
			rnd:    rand.New(rand.NewPCG(seed, 50+uint64(i))),
			estate: e, name: name, disk: newDisk(), barred: name == spare,
			id: e.issue(e.authority, identity.RoleServer, name), raftID: e.issue(e.raftCA, identity.RoleServer, name),
		}
		if p.disk != nil {
			p.disk(s.disk)
		}
		s.config = server.Config{
			Name: name, Place: process.Place{Region: regions[name], Center: name}, Servers: peers,
			Listen:          server.Listen{Raft: name + ":1", GRPC: name + ":2", API: name + ":3", Admin: name + ":4"},
			ElectionTimeout: &metav1.Duration{Duration: electionTimeout},
		}
		e.servers[name] = s
	}
	for _, center := range clusters {
		if p.bare {
			break
		}
		e.newRelay(center)
		relay := feed.Peer{
			Name: relayOf(center), Address: relayOf(center) + ":1",
			TLS: e.issue(e.authority, identity.RoleAgent, clusterOf(center)).Client(identity.RoleRelay),
		}
		e.newWriter(center, []feed.Peer{relay})
		if units {
			e.newStore(center)
			e.newGuards(center)
		}
	}
	for _, name := range centers {
		e.servers[name].start()
	}
	for _, name := range e.names {
		e.programs[name].start()
	}
	return e
}

// everyone are all servers, the spare one too.
func (e *estate) everyone() []string { return append(slices.Clone(centers), spare) }

// folder is in memory where the machine has such a place: what is simulated is not the disk's speed.
func folder(t *testing.T) string {
	t.Helper()
	for _, in := range []string{"/dev/shm", ""} {
		if dir, err := os.MkdirTemp(in, "pentad-sim-"); err == nil {
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			return dir
		}
	}
	t.Fatal("no folder for the run")
	return ""
}

func (e *estate) newAuthority(name string) *ca.Authority {
	e.t.Helper()
	a, err := ca.Open(filepath.Join(e.dir, name), trustDomain, 10*365*24*time.Hour)
	e.check(err)
	return a
}

// issue makes an identity that outlasts every run.
func (e *estate) issue(a *ca.Authority, role identity.Role, name string) *identity.Source {
	e.t.Helper()
	dir, err := os.MkdirTemp(e.dir, "id-")
	e.check(err)
	files := identity.Files{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), CA: filepath.Join(dir, "ca.crt")}
	id := identity.ID{TrustDomain: trustDomain, Role: role, Name: name}
	e.check(a.Issue(ca.Request{ID: id, Validity: 9 * 365 * 24 * time.Hour}, files))
	source, err := identity.Load(files)
	e.check(err)
	return source
}

func (e *estate) check(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

// now is the simulated time since the run began.
func (e *estate) now() time.Duration { return time.Since(e.began) }

// jump sets how far proposers' clocks are off.
func (e *estate) jump(off time.Duration) {
	e.clock.Lock()
	defer e.clock.Unlock()
	e.off = off
}

func (e *estate) skew() time.Duration {
	e.clock.Lock()
	defer e.clock.Unlock()
	return e.off
}

// settling says that nothing is to change any more.
func (e *estate) settling() bool {
	e.clock.Lock()
	defer e.clock.Unlock()
	return e.still
}

func (e *estate) stopped() bool {
	e.clock.Lock()
	defer e.clock.Unlock()
	return e.ended || !e.oracle.quiet()
}

// stop ends everything.
func (e *estate) stop() {
	e.clock.Lock()
	e.ended = true
	e.clock.Unlock()
	var all sync.WaitGroup
	for _, s := range e.servers {
		all.Go(func() { s.kill(false) })
	}
	for _, p := range e.programs {
		all.Go(func() { p.kill(false) })
	}
	all.Wait()
}

// copyFolder copies a folder of plain files as it is now.
func copyFolder(from, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if os.IsNotExist(err) {
		return nil
	} else if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := copyFile(filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if closed := out.Close(); err == nil {
		err = closed
	}
	return err
}

// await waits until ctx ends or a condition holds, which is looked at every so often.
func await(ctx context.Context, every time.Duration, ok func() bool) bool {
	for !ok() {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(every):
		}
	}
	return true
}
