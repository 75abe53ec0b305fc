package agents

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"pentad.dev/pentad/agents/agent"
	"pentad.dev/pentad/agents/orders"
	"pentad.dev/pentad/agents/permits"
	"pentad.dev/pentad/agents/source"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/model/modelpb"
	"pentad.dev/pentad/process"
	"pentad.dev/pentad/process/cut"
	"pentad.dev/pentad/unitization/permit/stream"
)

// Names of listeners, as they may be passed.
const (
	adminListener = "admin"
	grpcListener  = "grpc"
)

// Process is one agent process.
type Process struct {
	config    Config
	log       *slog.Logger
	listeners process.Listeners
	identity  *identity.Source
	admin     process.Admin
	agent     *agent.Agent
	// orders and permits are nil in a cluster without stores.
	orders  *orders.Orders
	permits *permits.Hop
	cut     *cut.Cut
}

// New takes the data folder and the listener; Run gives them back. When it fails nothing is held.
func New(config Config, log *slog.Logger) (_ *Process, err error) {
	p := &Process{config: config, log: log.With("center", config.Center, "cluster", config.Cluster)}
	defer func() {
		if err != nil {
			p.listeners.Close()
		}
	}()
	if p.identity, err = identity.Load(config.Certificates); err != nil {
		return nil, process.Usagef("certificates: %w", err)
	}
	id := p.identity.ID()
	if want := (identity.ID{TrustDomain: id.TrustDomain, Role: identity.RoleAgent, Name: config.Cluster}); id != want {
		return nil, process.Usagef("certificates.cert: %s is for %s, this agent is %s", config.Certificates.Cert, id, want)
	}
	if p.cut, err = cut.FromEnv(config.Place); err != nil {
		return nil, err
	}
	addresses := map[string]string{adminListener: config.Listen.Admin}
	if config.Listen.GRPC != "" {
		addresses[grpcListener] = config.Listen.GRPC
	}
	if p.listeners, err = process.Listen(addresses); err != nil {
		return nil, err
	}
	metrics := process.NewMetrics()
	if config.Listen.GRPC != "" {
		if err := p.addStores(metrics); err != nil {
			return nil, err
		}
	}
	if p.agent, err = p.newAgent(metrics); err != nil {
		return nil, err
	}
	p.admin = process.Admin{
		Listener: p.listeners[adminListener], Metrics: metrics, Ready: p.agent.Ready, Status: p.status, Log: p.log,
	}
	return p, nil
}

// addStores makes what drives the cluster's members of stores, and grants them permits.
func (p *Process) addStores(metrics prometheus.Registerer) (err error) {
	p.orders, err = orders.New(orders.Config{
		Cluster: p.config.Cluster, Servers: p.servers(process.Spread), Dial: p.cut.Dialer(), Log: p.log, Metrics: metrics,
		Report: func(store string, report *modelpb.StoreReport) error { return p.agent.ReportStore(store, report) },
	})
	if err != nil {
		return err
	}
	var servers []stream.Peer
	for _, s := range p.servers(process.Nearest) {
		servers = append(servers, stream.Peer{Name: s.Name, Address: s.Address, TLS: s.TLS})
	}
	p.permits, err = permits.New(permits.Config{
		Cluster: p.config.Cluster, Center: p.config.Center, Servers: servers, Listener: p.listeners[grpcListener],
		TLS: p.identity.Server(identity.RoleWorkload), Dial: p.cut.Dialer(), Log: p.log, Metrics: metrics,
	})
	return err
}

func (p *Process) newAgent(metrics prometheus.Registerer) (*agent.Agent, error) {
	sources := map[string]source.Source{}
	for _, s := range p.config.Sources {
		var err error
		if sources[s.Name], err = newSource(s, p.config.DataDir, p.log); err != nil {
			return nil, err
		}
	}
	return agent.New(agent.Config{
		Cluster: p.config.Cluster, DataDir: p.config.DataDir, Sources: sources,
		Servers: p.servers(process.Nearest), Relays: p.relays(), Dialer: p.cut.Dialer(), Log: p.log, Metrics: metrics,
	})
}

// servers are the configured servers: nearest first, or as process.Spread orders them.
func (p *Process) servers(order func(process.Place, []Server, func(Server) process.Place) []Server) []feed.Peer {
	servers := order(p.config.Place, p.config.Servers, func(s Server) process.Place { return s.Place })
	peers := make([]feed.Peer, len(servers))
	for i, s := range servers {
		peers[i] = feed.Peer{Name: s.Name, Address: s.GRPC, TLS: p.identity.Client(identity.RoleServer)}
	}
	return peers
}

func (p *Process) relays() []feed.Peer {
	peers := make([]feed.Peer, len(p.config.Relays))
	for i, r := range p.config.Relays {
		peers[i] = feed.Peer{Name: r.Name, Address: r.GRPC, TLS: p.identity.Client(identity.RoleRelay)}
	}
	return peers
}

// Status is what the agent's status page says.
type Status struct {
	process.Place
	Version string `json:"version"`
	agent.Status
	// Stores and Permits are missing in a cluster without stores.
	Stores  *orders.Status  `json:"stores,omitempty"`
	Permits *permits.Status `json:"permits,omitempty"`
}

func (p *Process) status() any {
	s := Status{Place: p.config.Place, Version: process.Version(), Status: p.agent.Status()}
	if p.orders != nil {
		stores, held := p.orders.Status(), p.permits.Status()
		s.Stores, s.Permits = &stores, &held
	}
	return s
}

// Run reads and publishes until ctx ends, and returns when everything has stopped.
func (p *Process) Run(ctx context.Context) error {
	defer p.listeners.Close()
	p.log.Info("agent runs", "id", p.identity.ID().String(), "admin", p.listeners[adminListener].Addr().String())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return p.identity.Run(ctx, p.log) })
	group.Go(func() error { return p.admin.Run(ctx) })
	group.Go(func() error { return p.agent.Run(ctx) })
	group.Go(func() error { return p.cut.Run(ctx, p.log) })
	if p.orders != nil {
		group.Go(func() error { return p.orders.Run(ctx) })
		group.Go(func() error { return p.permits.Run(ctx) })
	}
	return group.Wait()
}
