package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"pentad.dev/pentad/federation/apiserver"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/process"
	"pentad.dev/pentad/process/cut"
)

// Server is one federation server process.
type Server struct {
	*Core
	listeners process.Listeners
	dir       *process.DataDir
	identity  *identity.Source
	raftID    *identity.Source
	admin     process.Admin
	api       *apiserver.Server
	cut       *cut.Cut
	audit     io.WriteCloser
}

// New takes the data folder and the listeners; Run gives them back. When it fails nothing is held.
func New(config Config, log *slog.Logger) (_ *Server, err error) {
	s := &Server{}
	log = log.With("region", config.Region, "center", config.Center)
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.identity, err = config.load("certificates", config.Certificates); err != nil {
		return nil, err
	}
	if s.raftID, err = config.load("raftCertificates", config.RaftCertificates); err != nil {
		return nil, err
	}
	if err = config.checkAPIClientCA(); err != nil {
		return nil, err
	}
	if s.cut, err = cut.FromEnv(config.Place); err != nil {
		return nil, err
	}
	if s.dir, err = process.OpenDataDir(config.DataDir, "server "+config.Name); err != nil {
		return nil, err
	}
	s.listeners, err = process.Listen(map[string]string{
		"raft": config.Listen.Raft, "grpc": config.Listen.GRPC, "api": config.Listen.API, "admin": config.Listen.Admin,
	})
	if err != nil {
		return nil, err
	}
	env := Environment{
		Raft: s.listeners["raft"], GRPC: s.listeners["grpc"], Dial: s.cut.Dialer(),
		Identity: s.identity, RaftIdentity: s.raftID, Metrics: process.NewMetrics(), Fatal: func(err error) { exit(log, err) },
		Adjust: config.adjust,
	}
	if s.Core, err = NewCore(config, env, log); err != nil {
		return nil, err
	}
	s.admin = process.Admin{
		Listener: s.listeners["admin"], Metrics: env.Metrics, Ready: s.ready, Status: func() any { return s.status() }, Log: s.log,
	}
	if err = env.Metrics.Register(s.numbers()); err != nil {
		return nil, err
	}
	return s, s.openAPI(s.backend)
}

func (s *Server) numbers() *numbers {
	return &numbers{
		status: s.status, leaderless: s.vacancy.lasts, backedUp: &s.backedUp,
		expires: map[string]func() time.Time{"certificates": s.identity.Expires, "raftCertificates": s.raftID.Expires},
	}
}

// load reads a certificate, which must be for this server, and in force.
func (c *Config) load(field string, files identity.Files) (*identity.Source, error) {
	source, err := identity.Load(files)
	if err != nil {
		return nil, process.Usagef("%s: %w", field, err)
	}
	want := identity.ID{TrustDomain: source.ID().TrustDomain, Role: identity.RoleServer, Name: c.Name}
	if source.ID() != want {
		return nil, process.Usagef("%s.cert: %s is for %s, this server is %s", field, files.Cert, source.ID(), want)
	}
	if err := source.InForce(time.Now()); err != nil {
		return nil, process.Usagef("%s.cert: %w", field, err)
	}
	if err := source.Trusted(time.Now()); err != nil {
		return nil, process.Usagef("%s: %w", field, err)
	}
	return source, nil
}

// Run serves until ctx ends, and returns when everything has stopped. A disk that fails or hangs ends it with an error.
func (s *Server) Run(ctx context.Context) error {
	defer s.close()
	s.log.Info("server runs", "id", s.identity.ID().String(), "api", s.listeners["api"].Addr().String())
	ctx, cancel := s.untilHandedOver(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.identity.Run(ctx, s.log) })
	group.Go(func() error { return s.raftID.Run(ctx, s.log) })
	group.Go(func() error { return s.admin.Run(ctx) })
	group.Go(func() error { return s.cut.Run(ctx, s.log) })
	group.Go(func() error { return s.Core.Run(ctx) })
	group.Go(func() error { return s.api.Run(ctx) })
	err := group.Wait()
	if errors.Is(err, ErrRemoved) {
		s.log.Warn("the server has stopped for good: its data folder is of no use any more; to let it in again, empty the folder "+
			"and set join to a token of `pentad member invite`", "reason", err)
		return nil
	}
	return err
}

func (s *Server) close() {
	if s.Core != nil {
		s.Core.Close()
	}
	s.listeners.Close()
	if s.audit != nil {
		_ = s.audit.Close()
	}
	if s.dir != nil {
		s.dir.Close()
	}
}
