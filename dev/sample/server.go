package sample

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/xds"

	"pentad.dev/pentad/dev/sample/ledger"
	"pentad.dev/pentad/dev/sample/record"
	"pentad.dev/pentad/dev/sample/samplepb"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/process"
	"pentad.dev/pentad/process/cut"
	"pentad.dev/pentad/xds-relay/bootstrap/ipv4"
)

// drainFor is how long a server that stops lets the requests under way finish.
const drainFor = time.Second

// Server is a process of the workload.
type Server struct {
	cfg       ServerConfig
	listeners process.Listeners
	log       *slog.Logger
	cut       *cut.Cut
	// journal is nil where no instance has a guard.
	journal    *record.Journal
	identities []*identity.Source
	stores     map[string]Store
	clients    []*ledger.Client
	ledgers    []*ledger.Member
	instances  []*instance
}

// grpcServer is what plain and xDS servers share.
type grpcServer interface {
	grpc.ServiceRegistrar
	Serve(net.Listener) error
	GracefulStop()
	Stop()
}

type instance struct {
	Instance
	server  grpcServer
	serving atomic.Bool
	// guarded is nil of an instance that belongs to no unit.
	guarded *guarded
}

// NewServer takes a valid configuration, and listens (see process.Listen); Run gives the listeners back. When it fails
// nothing is held. This process's gRPC learns to read the addresses of relays (see bootstrap).
func NewServer(cfg ServerConfig, log *slog.Logger) (_ *Server, err error) {
	ipv4.Register()
	s := &Server{cfg: cfg, log: log}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.cut, err = cut.FromEnv(cfg.Place); err != nil {
		return nil, err
	}
	if s.listeners, err = process.Listen(cfg.addresses()); err != nil {
		return nil, err
	}
	if err = errors.Join(s.openJournal(), s.openStores()); err != nil {
		return nil, fmt.Errorf("sample %s: %w", cfg.Name, err)
	}
	for _, in := range cfg.Instances {
		one, failed := s.newInstance(in)
		if err = failed; err != nil {
			return nil, fmt.Errorf("sample %s: instance %s: %w", cfg.Name, in.Name, err)
		}
		s.instances = append(s.instances, one)
	}
	if err = s.openLedgers(); err != nil {
		return nil, fmt.Errorf("sample %s: %w", cfg.Name, err)
	}
	return s, nil
}

func (s *Server) newInstance(in Instance) (*instance, error) {
	one := &instance{Instance: in}
	h := host{origin: &samplepb.Origin{Region: s.cfg.Region, Center: s.cfg.Center, Instance: in.Name, Cell: in.Cell}}
	if in.Store != "" {
		h.store = s.stores[in.Store]
	}
	var options []grpc.ServerOption
	if in.Cell != "" {
		var err error
		if one.guarded, err = s.newGuarded(in); err != nil {
			return nil, err
		}
		h.permission = one.guarded.permission
		options = append(options, grpc.UnaryInterceptor(one.guarded.unary()),
			grpc.StreamInterceptor(one.guarded.guard.StreamServerInterceptor()))
	}
	if s.cfg.XDS {
		server, err := xds.NewGRPCServer(append(options,
			grpc.Creds(insecure.NewCredentials()),
			xds.ServingModeCallback(func(_ net.Addr, mode xds.ServingModeChangeArgs) {
				one.serving.Store(mode.Mode == connectivity.ServingModeServing)
				s.log.Info("serving mode", "instance", in.Name, "mode", mode.Mode.String(), "error", mode.Err)
			}),
		)...)
		if err != nil {
			return nil, err
		}
		one.server = server
	} else {
		one.server = grpc.NewServer(options...)
		one.serving.Store(true)
	}
	services()[in.Service].register(one.server, h)
	grpc_health_v1.RegisterHealthServer(one.server, health.NewServer())
	return one, nil
}

// Run serves until ctx ends, and then lets the requests under way finish. The ledgers go last: requests need them.
func (s *Server) Run(ctx context.Context) error {
	defer s.close()
	below, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	base, below := errgroup.WithContext(below)
	base.Go(func() error { return s.cut.Run(below, s.log) })
	for _, source := range s.identities {
		base.Go(func() error { return source.Run(below, s.log) })
	}
	for _, member := range s.ledgers {
		base.Go(func() error { return member.Run(below) })
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	unhook := context.AfterFunc(below, end) // what fails below ends the process
	defer unhook()
	group, ctx := errgroup.WithContext(ctx)
	for _, one := range s.instances {
		group.Go(func() error { return s.serve(one) })
		group.Go(func() error { return one.guard(ctx) })
	}
	group.Go(func() error {
		return process.Admin{
			Listener: s.listeners[adminListener], Metrics: process.NewMetrics(), Ready: s.ready, Status: s.status, Log: s.log,
		}.Run(ctx)
	})
	err := group.Wait()
	stop()
	return errors.Join(err, base.Wait())
}

func (s *Server) serve(one *instance) error {
	if err := one.server.Serve(s.listeners[one.Name]); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("instance %s: %w", one.Name, err)
	}
	return nil
}

// guard runs the instance's guard until ctx ends, and then stops the server: callers are refused before connections
// end.
func (one *instance) guard(ctx context.Context) error {
	var err error
	if one.guarded != nil {
		err = one.guarded.guard.Run(ctx)
	} else {
		<-ctx.Done()
	}
	hard := time.AfterFunc(drainFor, one.server.Stop)
	defer hard.Stop()
	one.server.GracefulStop()
	return err
}

func (s *Server) close() {
	for _, client := range s.clients {
		client.Close()
	}
	s.listeners.Close()
	if err := s.journal.Close(); err != nil {
		s.log.Warn("journal not written", "error", err)
	}
}

func (s *Server) ready() error {
	for _, one := range s.instances {
		if !one.serving.Load() {
			return fmt.Errorf("instance %s has no listener from xDS yet", one.Name)
		}
	}
	return nil
}

func (s *Server) status() any {
	serving := map[string]bool{}
	for _, one := range s.instances {
		serving[one.Name] = one.serving.Load()
	}
	return map[string]any{"name": s.cfg.Name, "serving": serving}
}
