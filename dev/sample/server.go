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

	"pentad.dev/pentad/dev/sample/samplepb"
	"pentad.dev/pentad/process"
	"pentad.dev/pentad/xds-relay/bootstrap/ipv4"
)

// drainFor is how long a server that stops lets the requests under way finish.
const drainFor = time.Second

// Server is a process of the workload.
type Server struct {
	cfg       ServerConfig
	listeners process.Listeners
	log       *slog.Logger
	instances []*instance
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
}

// NewServer takes a valid configuration, and listens (see process.Listen); Run gives the listeners back. When it fails
// nothing is held. This process's gRPC learns to read the addresses of relays (see bootstrap).
func NewServer(cfg ServerConfig, log *slog.Logger) (*Server, error) {
	ipv4.Register()
	listeners, err := process.Listen(cfg.addresses())
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, listeners: listeners, log: log}
	for _, in := range cfg.Instances {
		one, err := s.newInstance(in)
		if err != nil {
			listeners.Close()
			return nil, fmt.Errorf("sample %s: instance %s: %w", cfg.Name, in.Name, err)
		}
		s.instances = append(s.instances, one)
	}
	return s, nil
}

func (s *Server) newInstance(in Instance) (*instance, error) {
	one := &instance{Instance: in}
	if s.cfg.XDS {
		server, err := xds.NewGRPCServer(
			grpc.Creds(insecure.NewCredentials()),
			xds.ServingModeCallback(func(_ net.Addr, mode xds.ServingModeChangeArgs) {
				one.serving.Store(mode.Mode == connectivity.ServingModeServing)
				s.log.Info("serving mode", "instance", in.Name, "mode", mode.Mode.String(), "error", mode.Err)
			}),
		)
		if err != nil {
			return nil, err
		}
		one.server = server
	} else {
		one.server = grpc.NewServer()
		one.serving.Store(true)
	}
	services()[in.Service].register(
		one.server,
		&samplepb.Origin{Region: s.cfg.Region, Center: s.cfg.Center, Instance: in.Name},
	)
	grpc_health_v1.RegisterHealthServer(one.server, health.NewServer())
	return one, nil
}

// Run serves until ctx ends, and then lets the requests under way finish.
func (s *Server) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, one := range s.instances {
		group.Go(func() error {
			if err := one.server.Serve(s.listeners[one.Name]); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				return fmt.Errorf("instance %s: %w", one.Name, err)
			}
			return nil
		})
		group.Go(func() error {
			<-ctx.Done()
			hard := time.AfterFunc(drainFor, one.server.Stop)
			defer hard.Stop()
			one.server.GracefulStop()
			return nil
		})
	}
	group.Go(func() error {
		return process.Admin{
			Listener: s.listeners[adminListener], Metrics: process.NewMetrics(), Ready: s.ready, Status: s.status, Log: s.log,
		}.Run(ctx)
	})
	return group.Wait()
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
