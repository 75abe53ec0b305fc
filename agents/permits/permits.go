// Package permits is an agent's hop of permits: stores beside it hold theirs of it, and it holds its own of a
// federation server, under a session of its own that is in the log (rule 3 of ownership). A store's certificate names
// the one store and member that it may hold for, spiffe://<trust-domain>/workload/store/<store>.<center>, and the agent
// grants in its own center only. What is granted lives in memory; the rules are those of unitization/permit.
package permits

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/process"
	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/permit/stream"
)

// StoreIdentity is the name in the certificate of a store's member, of role workload.
func StoreIdentity(store, center string) string { return "store/" + store + "." + center }

// Config is what a Hop needs.
type Config struct {
	Cluster, Center string
	// Servers are the federation's servers, nearest first.
	Servers []stream.Peer
	// Listener takes the stores. It is the Hop's once New has returned without error.
	Listener net.Listener
	// TLS is the listener's; it must take workloads only.
	TLS *tls.Config
	// Dial opens connections; nil: TCP.
	Dial stream.Dialer
	// Clock is nil for the system's.
	Clock permit.Clock
	Log   *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer

	// broken breaks a rule on purpose. Only tests set it.
	broken breakage
}

type breakage struct {
	// anyStore grants to a store whatever it names.
	anyStore bool
}

// Validate names every wrong field.
func (c Config) Validate() error {
	errs := []error{process.Required("cluster", c.Cluster), process.Required("center", c.Center)}
	if len(c.Servers) == 0 {
		errs = append(errs, errors.New("servers: must name at least one federation server"))
	}
	if c.Listener == nil {
		errs = append(errs, errors.New("listener: must not be nil"))
	}
	if c.TLS == nil {
		errs = append(errs, errors.New("tls: must not be nil"))
	}
	if c.Log == nil {
		errs = append(errs, errors.New("log: must not be nil"))
	}
	return errors.Join(errs...)
}

// Hop hands permits on to stores.
type Hop struct {
	cfg    Config
	hop    *permit.Hop
	client *stream.Client
	server *grpc.Server
}

// New fails on a wrong configuration.
func New(cfg Config) (_ *Hop, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Clock == nil {
		cfg.Clock = permit.SystemClock()
	}
	h := &Hop{cfg: cfg}
	h.hop, err = permit.NewHop(permit.HopConfig{
		Holder: permitpb.Holder_HOLDER_AGENT, Center: cfg.Center, Clock: cfg.Clock, Log: cfg.Log,
	})
	if err != nil {
		return nil, err
	}
	h.client, err = stream.NewClient(stream.ClientConfig{
		Peers: cfg.Servers, Holder: h.hop, Clock: cfg.Clock, Dial: cfg.Dial, Log: cfg.Log, Metrics: cfg.Metrics,
		Open: &permitpb.Open{
			Holder: permitpb.Holder_HOLDER_AGENT, Name: cfg.Cluster, Cluster: cfg.Cluster, Center: cfg.Center,
		},
	})
	if err != nil {
		return nil, err
	}
	server, err := stream.NewServer(stream.ServerConfig{
		Grantor: h.hop, Authorize: h.authorize, Log: cfg.Log, Metrics: cfg.Metrics,
	})
	if err != nil {
		return nil, err
	}
	h.server = grpc.NewServer(append(stream.ServerOptions(), grpc.Creds(credentials.NewTLS(cfg.TLS)))...)
	permitpb.RegisterPermitsServer(h.server, server)
	return h, nil
}

// authorize holds a store's member to the one store of its certificate (rule 8 of ownership).
func (h *Hop) authorize(ctx context.Context, open *permitpb.Open) error {
	caller, err := identity.Caller(ctx)
	if err != nil {
		return err
	}
	if open.GetCenter() != h.cfg.Center {
		return fmt.Errorf("center: %q: this agent is in center %s", open.GetCenter(), h.cfg.Center)
	}
	if len(open.GetStores()) != 1 {
		return fmt.Errorf("stores: %q: must be the one store of the certificate", open.GetStores())
	}
	store := open.GetStores()[0]
	named := caller.Role == identity.RoleWorkload && caller.Name == StoreIdentity(store, h.cfg.Center)
	if !named && !h.cfg.broken.anyStore {
		return fmt.Errorf("stores: %q: %s may not hold it in center %s", store, caller, h.cfg.Center)
	}
	open.Name, open.Cluster = store+"."+h.cfg.Center, h.cfg.Cluster
	return nil
}

// Run grants until ctx ends.
func (h *Hop) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return h.client.Run(ctx) })
	group.Go(func() error {
		if err := h.server.Serve(h.cfg.Listener); !errors.Is(err, grpc.ErrServerStopped) {
			return err
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		h.server.Stop()
		return nil
	})
	return group.Wait()
}

// Status is what an operator sees.
type Status struct {
	// Session is the agent's own, at a server; Hop is what it hands on.
	Session stream.ClientStatus `json:"session"`
	Hop     permit.HopStatus    `json:"hop"`
}

// Status may be called from any goroutine.
func (h *Hop) Status() Status { return Status{Session: h.client.Status(), Hop: h.hop.Status()} }
