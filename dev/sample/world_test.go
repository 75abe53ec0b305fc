package sample

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"pentad.dev/pentad/dev/sample/record"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/identity/ca"
	"pentad.dev/pentad/process"
	"pentad.dev/pentad/process/loopback"
	"pentad.dev/pentad/unitization/guard"
	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/permit/stream"
)

// world is a relay and an agent of hz-a whose answers a test writes: unit rz01 owns shards 0 to 4 of 10, rz02 the rest,
// both in hz-a.
type world struct {
	t         *testing.T
	authority *ca.Authority
	relay     Peer
	agent     Peer

	mu       sync.Mutex
	revision uint64
	ranges   []*permitpb.Range
	store    *permitpb.StorePermit
	leases   map[*lease]bool
}

type lease struct {
	w     *world
	hints chan struct{}
}

const (
	someStore = "orders-rz01"
	opened    = uint64(10)
)

func newWorld(t *testing.T) *world {
	t.Helper()
	authority, err := ca.Open(t.TempDir(), "pentad.test", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, authority: authority, leases: map[*lease]bool{},
		store: &permitpb.StorePermit{Store: someStore, Primary: "hz-a", Token: 7},
	}
	w.open(opened)
	w.relay = w.serve("relay-hz-a-1", identity.RoleRelay, "hz-a-vm/relay-hz-a-1")
	w.agent = w.serve("agent-hz-a", identity.RoleAgent, "hz-a-vm")
	return w
}

func (w *world) issue(role identity.Role, name string) identity.Files {
	w.t.Helper()
	dir := w.t.TempDir()
	files := identity.Files{
		Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), CA: filepath.Join(dir, "ca.crt"),
	}
	id := identity.ID{TrustDomain: "pentad.test", Role: role, Name: name}
	err := w.authority.Issue(ca.Request{ID: id, Hosts: []string{"127.0.0.1"}, Validity: time.Hour}, files)
	if err != nil {
		w.t.Fatal(err)
	}
	return files
}

func (w *world) serve(name string, role identity.Role, identityName string) Peer {
	w.t.Helper()
	source, err := identity.Load(w.issue(role, identityName))
	if err != nil {
		w.t.Fatal(err)
	}
	address := loopback.Address(w.t)
	listeners, err := process.Listen(map[string]string{"grpc": address})
	if err != nil {
		w.t.Fatal(err)
	}
	permits, err := stream.NewServer(stream.ServerConfig{
		Grantor: w, Rules: w.rules, Authorize: func(ctx context.Context, o *permitpb.Open) error {
			caller, err := identity.Caller(ctx)
			if err != nil {
				return err
			}
			for _, cell := range o.GetCells() {
				if caller.Name != "cell/"+cell {
					w.t.Errorf("the guard of %s shows the certificate of %s", cell, caller)
				}
			}
			for _, store := range o.GetStores() {
				if caller.Name != "store/"+store+".hz-a" {
					w.t.Errorf("the member of %s shows the certificate of %s", store, caller)
				}
			}
			return nil
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(source.Server(identity.RoleWorkload))))
	permitpb.RegisterPermitsServer(server, permits)
	go func() { _ = server.Serve(listeners["grpc"]) }()
	w.t.Cleanup(server.Stop)
	return Peer{Name: name, GRPC: address}
}

func (w *world) rules() (*permitpb.RulesResponse, <-chan struct{}) {
	return &permitpb.RulesResponse{Rules: []*permitpb.Rules{{
		Unitization: "users", Shards: 10, Header: userHeader, Function: permitpb.KeyFunction_KEY_FUNCTION_LAST_DIGITS,
		Services: []*permitpb.Service{{Name: "orders", Reads: Reads("orders")}},
	}}}, nil
}

// open gives rz01 its shards, freeze takes them from it; both under a new epoch.
func (w *world) open(since uint64)   { w.set(since, false) }
func (w *world) freeze(since uint64) { w.set(since, true) }

func (w *world) set(since uint64, frozen bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := &permitpb.Range{From: 0, To: 4, Unit: "rz01", Cells: []string{"rz01.hz-a"}, Since: since, Frozen: frozen}
	if frozen {
		first.Cells, first.Left = nil, []string{"rz01.hz-a"}
	}
	w.ranges = []*permitpb.Range{first, {From: 5, To: 9, Unit: "rz02", Cells: []string{"rz02.hz-a"}, Since: opened}}
	w.revision++
	for l := range w.leases {
		select {
		case l.hints <- struct{}{}:
		default:
		}
	}
}

// Open implements permit.Grantor.
func (w *world) Open(context.Context, *permitpb.Open) (permit.Lease, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := &lease{w, make(chan struct{}, 1)}
	w.leases[l] = true
	return l, nil
}

// Answer implements permit.Lease.
func (l *lease) Answer(_ context.Context, ask *permitpb.Ask) (*permitpb.Answer, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return &permitpb.Answer{
		Number: ask.GetNumber(), Revision: l.w.revision, HoldsNs: int64(5 * time.Second),
		Maps:   []*permitpb.Map{{Unitization: "users", Shards: 10, Epoch: l.w.ranges[0].GetSince(), Ranges: l.w.ranges}},
		Stores: []*permitpb.StorePermit{l.w.store},
	}, nil
}

// Hints implements permit.Lease.
func (l *lease) Hints() <-chan struct{} { return l.hints }

// Close implements permit.Lease.
func (l *lease) Close() {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	delete(l.w.leases, l)
}

// startUnits runs a workload process with an instance of orders in each cell, and the only member of a store.
func (w *world) startUnits() (ServerConfig, func()) {
	w.t.Helper()
	cfg, server := w.units()
	return cfg, run(w.t, server)
}

func (w *world) units() (ServerConfig, *Server) {
	w.t.Helper()
	dir, ledgerAddress := w.t.TempDir(), loopback.Address(w.t)
	cfg := ServerConfig{
		Name: "sample-hz-a", Place: here(), Listen: Listen{Admin: loopback.Address(w.t)}, Cluster: "hz-a-vm",
		Records: filepath.Join(dir, "records"), Relays: []Peer{w.relay}, Agents: []Peer{w.agent},
		Stores: []StoreConfig{{Name: someStore, Members: []Member{{Name: "hz-a", GRPC: ledgerAddress}}}},
		Ledgers: []Ledger{{
			Store: someStore, Dir: filepath.Join(dir, "ledger"), GRPC: ledgerAddress, Webhook: loopback.Address(w.t),
			Certificates: w.issue(identity.RoleWorkload, "store/"+someStore+".hz-a"),
		}},
	}
	for _, unit := range []string{"rz01", "rz02"} {
		cell := unit + ".hz-a"
		cfg.Instances = append(cfg.Instances, Instance{
			Name: "orders-" + unit, Service: "orders", Listen: loopback.Address(w.t), Unit: unit, Cell: cell, Store: someStore,
			Certificates: w.issue(identity.RoleWorkload, "cell/"+cell),
		})
	}
	if err := cfg.Validate(); err != nil {
		w.t.Fatal(err)
	}
	server, err := NewServer(cfg, quiet())
	if err != nil {
		w.t.Fatal(err)
	}
	return cfg, server
}

// writer is a client that sends everything to the instance of rz01, as a client without routes would.
func (w *world) writer(server ServerConfig) (records string, load *Load) {
	w.t.Helper()
	cfg := LoadConfig{
		Name: "load-hz-a", Place: here(), Listen: Listen{Admin: loopback.Address(w.t)}, Services: []string{"orders"}, Rate: 20,
		Records: w.t.TempDir(), Deadline: &metav1.Duration{Duration: 3 * time.Second}, Relays: []Peer{w.relay},
		Writes:       []Writes{{Service: "orders", Unitization: "users", Shards: 10, Header: userHeader, Rate: 5}},
		Certificates: w.issue(identity.RoleWorkload, "load-hz-a"),
	}
	if err := cfg.Validate(); err != nil {
		w.t.Fatal(err)
	}
	load, err := NewLoad(cfg, quiet())
	if err != nil {
		w.t.Fatal(err)
	}
	load.targets["orders"] = "passthrough:///" + server.Instances[0].Listen
	load.watch = func(*record.Writer, *slog.Logger) {}
	return cfg.Records, load
}

// begins waits until the client counts.
func begins(t *testing.T, load *Load) {
	t.Helper()
	until(t, "client", func() bool { return load.ready() == nil })
}

// entries are the guard's so far.
func (w *world) entries(server ServerConfig) (all []record.Entry) {
	w.t.Helper()
	journals, err := record.ReadJournals(server.Records)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, entries := range journals {
		all = append(all, entries...)
	}
	return all
}

// told counts the guard's entries so far.
func (w *world) told(server ServerConfig, what string, reason guard.Reason) (n int) {
	for _, e := range w.entries(server) {
		if e.What == what && e.Reason == string(reason) {
			n++
		}
	}
	return n
}

// outlasted counts the writes that a freeze refused and that were admitted after it.
func (w *world) outlasted(server ServerConfig) (n int) {
	refused := map[string]bool{}
	for _, e := range w.entries(server) {
		switch {
		case e.What == record.Refused && e.Reason == string(guard.Frozen):
			refused[e.WriteID] = true
		case e.What == record.Admitted && refused[e.WriteID]:
			n++
		}
	}
	return n
}
