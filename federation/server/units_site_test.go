package server

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"pentad.dev/pentad/agents"
	"pentad.dev/pentad/dev/sample/ledger"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/process"
	"pentad.dev/pentad/process/cut"
	"pentad.dev/pentad/process/loopback"
	"pentad.dev/pentad/unitization/guard"
	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/permit/stream"
)

// site is what runs in one center.
type site struct {
	*units
	center string
	log    *slog.Logger
	ports  map[string]string
	cut    *cut.Cut
	dir    string // the ledger's

	relay     *relay
	network   *cut.Cut // the relay's; nil while it does not run
	stopRelay func()
	guards    map[string]*guard.Guard // by unit
	stops     []func()                // of everything but the relay
}

func (s *site) place() process.Place {
	return process.Place{Region: regions[s.center], Center: s.center}
}

func (s *site) start(ledgers bool) {
	s.t.Helper()
	var err error
	s.cut, err = cut.Open(s.cutFile, s.place())
	check(s.t, err)
	s.runs("cut", func(ctx context.Context) error { return s.cut.Run(ctx, s.log) })
	s.startRelay()
	s.startAgent()
	if ledgers {
		s.startLedger()
	}
	s.guards = map[string]*guard.Guard{}
	for _, unit := range []string{"rz01", "rz02"} {
		s.startGuard(unit)
	}
}

// networks are those here that look at the file of cuts.
func (s *site) networks() []*cut.Cut {
	if s.network == nil {
		return []*cut.Cut{s.cut}
	}
	return []*cut.Cut{s.cut, s.network}
}

// vanish ends everything here without a word to anybody: the network goes first.
func (s *site) vanish() {
	s.t.Helper()
	s.isolate(s.center, true)
	s.stopRelay()
	for _, stop := range s.stops {
		stop()
	}
}

// relay is a relay's hop without xDS: its data planes follow at once.
type relay struct {
	*permit.Hop
	client     *stream.Client
	held, told atomic.Uint64
	// stuck relays have data planes that do not follow.
	stuck atomic.Bool
	// stretch breaks the rule that a hop hands on no more than it holds: so many times.
	stretch atomic.Int64
}

// Granted implements permit.Holder.
func (r *relay) Granted(p *permit.Permit) {
	r.held.Store(p.Revision)
	if by := r.stretch.Load(); by > 0 {
		longer := *p
		longer.Holds *= time.Duration(by)
		p = &longer
	}
	r.Hop.Granted(p)
}

// Rendered implements permit.Holder.
func (r *relay) Rendered() uint64 {
	if r.stuck.Load() {
		return 0
	}
	r.told.Store(r.held.Load())
	return r.held.Load()
}

// tell asks anew when the servers have not heard yet how far the data planes are, as a real relay does.
func (r *relay) tell(ctx context.Context) {
	for ticker := time.NewTicker(20 * time.Millisecond); ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case <-ticker.C:
			if r.told.Load() < r.held.Load() && !r.stuck.Load() {
				r.client.Ask()
			}
		}
	}
}

func (s *site) startRelay() {
	s.t.Helper()
	r := &relay{}
	var err error
	r.Hop, err = permit.NewHop(permit.HopConfig{
		Holder: permitpb.Holder_HOLDER_RELAY, Center: s.center, Clock: permit.SystemClock(), Log: s.log,
	})
	check(s.t, err)
	network, err := cut.Open(s.cutFile, relayPlace(s.center))
	check(s.t, err)
	s.network = network
	name := cluster(s.center) + "/one"
	id := s.source(identity.RoleRelay, name)
	config := stream.ClientConfig{
		Holder: r, Dial: network.Dialer(), Log: s.log, Return: time.Minute,
		Open: &permitpb.Open{
			Holder: permitpb.Holder_HOLDER_RELAY, Name: name, Cluster: cluster(s.center), Center: s.center,
		},
	}
	for _, c := range s.configs {
		config.Peers = append(config.Peers, stream.Peer{
			Name: c.Name, Address: c.Listen.GRPC, TLS: id.Client(identity.RoleServer),
		})
	}
	r.client, err = stream.NewClient(config)
	check(s.t, err)
	rules := make(chan struct{})
	service, err := stream.NewServer(stream.ServerConfig{
		Grantor: r, Authorize: func(context.Context, *permitpb.Open) error { return nil },
		Rules: func() (*permitpb.RulesResponse, <-chan struct{}) { return &permitpb.RulesResponse{}, rules }, Log: s.log,
	})
	check(s.t, err)
	listener := loopback.Listen(s.t, s.ports["relay"])
	server := grpc.NewServer(stream.ServerOptions()...)
	permitpb.RegisterPermitsServer(server, service)
	s.relay = r
	stop := s.runs("relay "+s.center, func(ctx context.Context) error {
		go r.tell(ctx)
		go func() { _ = network.Run(ctx, s.log) }()
		go func() { _ = server.Serve(listener) }()
		defer server.Stop()
		return r.client.Run(ctx)
	})
	s.stopRelay = func() {
		s.network = nil
		stop()
	}
}

func (s *site) startGuard(unit string) {
	s.t.Helper()
	g, err := guard.New(guard.Config{
		Cells: []string{unit + "." + s.center}, Service: "orders", Name: unit + "." + s.center, Center: s.center,
		Relays: []stream.Peer{{Name: "relay", Address: s.ports["relay"]}}, Drain: time.Millisecond, Log: s.log,
	})
	check(s.t, err)
	s.guards[unit] = g
	s.stops = append(s.stops, s.runs("guard "+unit+" of "+s.center, g.Run))
}

func (s *site) startAgent() {
	s.t.Helper()
	dir := s.t.TempDir()
	registry := filepath.Join(dir, "registry.yaml")
	check(s.t, os.WriteFile(registry, []byte("services: []\n"), 0o600))
	id := identity.ID{TrustDomain: trustDomain, Role: identity.RoleAgent, Name: cluster(s.center)}
	config := agents.Config{
		Cluster: cluster(s.center), Place: s.place(), DataDir: dir,
		Listen:       agents.Listen{Admin: s.ports["admin"], GRPC: s.ports["agent"]},
		Certificates: issue(s.t, s.authority, id),
		Sources:      []agents.Source{{Name: "static", Type: agents.SourceFile, Path: registry}},
	}
	for _, c := range s.configs {
		config.Servers = append(config.Servers, agents.Server{Name: c.Name, Place: c.Place, GRPC: c.Listen.GRPC})
	}
	environment.Lock()
	check(s.t, os.Setenv(cut.Env, s.cutFile))
	agent, err := agents.New(config, s.log)
	check(s.t, errors.Join(err, os.Unsetenv(cut.Env)))
	environment.Unlock()
	s.stops = append(s.stops, s.runs("agent "+s.center, agent.Run))
}

func (s *site) startLedger() {
	s.t.Helper()
	s.dir = s.t.TempDir()
	id := s.source(identity.RoleWorkload, "store/db."+s.center)
	config := ledger.Config{
		Store: "db", Member: s.center, Dir: s.dir, Dial: s.cut.Dialer(), Log: s.log,
		Agents: []stream.Peer{{Name: "agent", Address: s.ports["agent"], TLS: id.Client(identity.RoleAgent)}},
	}
	for _, other := range centers() {
		if other != s.center {
			config.Peers = append(config.Peers, ledger.Peer{Member: other, Address: s.sites[other].ports["ledger"]})
		}
	}
	config.Listener = loopback.Listen(s.t, s.ports["ledger"])
	config.WebhookListener = loopback.Listen(s.t, s.ports["webhook"])
	m, err := ledger.New(config)
	check(s.t, err)
	s.stops = append(s.stops, s.runs("ledger "+s.center, m.Run))
}
