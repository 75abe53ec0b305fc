package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/federation/apiserver"
	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/controller"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/feed/feedpb"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/process"
	"pentad.dev/pentad/process/cut"
	"pentad.dev/pentad/unitization/permit/stream"
)

// Server is one federation server process.
type Server struct {
	config    Config
	log       *slog.Logger
	listeners process.Listeners
	dir       *process.DataDir
	identity  *identity.Source
	raftID    *identity.Source
	admin     process.Admin
	machine   *intent.FSM
	node      *consensus.Node
	vacancy   *vacancy
	peers     []*grpc.ClientConn
	feeds     *feed.Set
	service   *feed.Service
	follower  *feed.Follower
	grpc      *grpc.Server
	api       *apiserver.Server
	cut       *cut.Cut

	backend    *backend
	permits    *stream.Root
	controller *controller.Controller
	audit      *os.File
}

// New takes the data folder and the listeners; Run gives them back. When it fails nothing is held.
func New(config Config, log *slog.Logger) (_ *Server, err error) {
	s := &Server{
		config: config, log: log.With("region", config.Region, "center", config.Center), vacancy: newVacancy(),
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.identity, err = s.load("certificates", config.Certificates); err != nil {
		return nil, err
	}
	if s.raftID, err = s.load("raftCertificates", config.RaftCertificates); err != nil {
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
	metrics := process.NewMetrics()
	s.admin = process.Admin{Listener: s.listeners["admin"], Metrics: metrics, Ready: s.ready, Status: s.status, Log: s.log}
	if s.machine, err = intent.New(intent.Config{Feed: feed.Options{Log: s.log}}); err != nil {
		return nil, err
	}
	if s.node, err = consensus.New(s.consensusConfig(metrics)); errors.Is(err, consensus.ErrFolder) {
		return nil, &process.UsageError{Err: err}
	} else if err != nil {
		return nil, err
	}
	if s.backend, err = s.newBackend(); err != nil {
		return nil, err
	}
	if err = s.openFeeds(metrics); err != nil {
		return nil, err
	}
	s.serveGRPC()
	return s, errors.Join(s.servePermits(metrics), s.openController(), s.openAPI(s.backend))
}

// load reads a certificate, which must be for this server.
func (s *Server) load(field string, files identity.Files) (*identity.Source, error) {
	source, err := identity.Load(files)
	if err != nil {
		return nil, process.Usagef("%s: %w", field, err)
	}
	want := identity.ID{TrustDomain: source.ID().TrustDomain, Role: identity.RoleServer, Name: s.config.Name}
	if source.ID() != want {
		return nil, process.Usagef("%s.cert: %s is for %s, this server is %s", field, files.Cert, source.ID(), want)
	}
	return source, nil
}

// machine is intent.FSM as consensus wants it: the two rooms don't know each other.
type machine struct{ *intent.FSM }

func (m machine) Snapshot() (consensus.Snapshot, error) { return m.FSM.Snapshot() }

func (s *Server) openFeeds(metrics process.Metrics) (err error) {
	if s.feeds, err = feed.OpenSet(filepath.Join(s.config.DataDir, "feeds"), feed.Options{Log: s.log}); err != nil {
		return err
	}
	s.feeds.Add(s.machine.Feed())
	s.service, err = feed.NewService(feed.ServiceConfig{
		Set: s.feeds, Authorize: s.mayPublish, AuthorizeRead: s.mayRead, Validator: validate, Log: s.log, Metrics: metrics,
	})
	if err != nil {
		return err
	}
	s.follower, err = feed.NewFollower(feed.FollowerConfig{
		Set: s.feeds, Peers: s.feedPeers(), Want: want, Validator: validate, Log: s.log, Metrics: metrics,
		Dialer: s.cut.Dialer(),
	})
	return err
}

// want is every cluster's feed; the intent each server writes for itself.
func want(id feed.ID) (feed.Filter, bool) { return feed.Filter{}, id != feed.IntentID }

func validate(_ feed.ID, r *feed.Record) error {
	if r.Value == nil {
		return nil
	}
	return model.Check(r.Kind, r.Key, r.Value)
}

// feedPeers are the other servers, nearest first.
func (s *Server) feedPeers() []feed.Peer {
	others := process.Nearest(s.config.Place, s.config.others(), func(p Peer) process.Place { return p.Place })
	peers := make([]feed.Peer, len(others))
	for i, p := range others {
		peers[i] = feed.Peer{Name: p.Name, Address: p.GRPC, TLS: s.identity.Client(identity.RoleServer)}
	}
	return peers
}

func (s *Server) serveGRPC() {
	options := append(feed.ServerOptions(),
		grpc.Creds(credentials.NewTLS(s.identity.Server(identity.RoleServer, identity.RoleAgent, identity.RoleRelay))),
		grpc.ChainUnaryInterceptor(serversOnly))
	s.grpc = grpc.NewServer(options...)
	feedpb.RegisterFeedsServer(s.grpc, s.service)
	intentpb.RegisterIntentServer(s.grpc, forwarded{server: s})
}

// serversOnly guards the unary methods: they are what servers forward to each other.
func serversOnly(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	caller, err := identity.Caller(ctx)
	if err != nil {
		return nil, status.Error(codes.Unauthenticated, err.Error())
	}
	if caller.Role != identity.RoleServer {
		return nil, status.Errorf(codes.PermissionDenied, "%s may not call %s: only servers may", caller, info.FullMethod)
	}
	return handler(ctx, request)
}

// mayPublish lets an agent write its own cluster's feeds, and nobody anything else.
func (s *Server) mayPublish(ctx context.Context, id feed.ID) error {
	caller, err := identity.Caller(ctx)
	if err != nil {
		return err
	}
	cluster, _, _ := model.SplitFeedID(id)
	if caller.Role != identity.RoleAgent || cluster == "" || caller.Name != cluster {
		return fmt.Errorf("%s may not publish feed %s: only the agent of its cluster may", caller, id)
	}
	return nil
}

// mayRead lets every server, agent and relay read every feed; the listener takes nobody else.
func (s *Server) mayRead(ctx context.Context, _ feed.ID) error {
	_, err := identity.Caller(ctx)
	return err
}

// ready says whether the API can answer a linearizable read here.
func (s *Server) ready() error {
	if leader, _, _ := s.node.Leader(); leader == "" {
		return errors.New("no leader is known: a majority of the voters must be up and reach each other")
	}
	return nil
}

// Run serves until ctx ends, and returns when everything has stopped. A disk that fails or hangs ends it with an error.
func (s *Server) Run(ctx context.Context) error {
	defer s.close()
	s.log.Info("server runs", "id", s.identity.ID().String(), "api", s.listeners["api"].Addr().String())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.identity.Run(ctx, s.log) })
	group.Go(func() error { return s.raftID.Run(ctx, s.log) })
	group.Go(func() error { return s.admin.Run(ctx) })
	group.Go(func() error { return s.node.Run(ctx) })
	group.Go(func() error { return s.vacancy.run(ctx, s.node) })
	group.Go(func() error { return s.feeds.Run(ctx) })
	group.Go(func() error { return s.follower.Run(ctx) })
	group.Go(func() error { return s.permits.Run(ctx) })
	group.Go(func() error { return s.lead(ctx) })
	group.Go(func() error { return s.cut.Run(ctx, s.log) })
	group.Go(func() error { return s.api.Run(ctx) })
	group.Go(func() error {
		stop := context.AfterFunc(ctx, s.grpc.Stop)
		defer stop()
		if err := s.grpc.Serve(s.listeners["grpc"]); !errors.Is(err, grpc.ErrServerStopped) {
			return err
		}
		return nil
	})
	return group.Wait()
}

func (s *Server) close() {
	for _, conn := range s.peers {
		_ = conn.Close()
	}
	s.listeners.Close()
	if s.audit != nil {
		_ = s.audit.Close()
	}
	if s.dir != nil {
		s.dir.Close()
	}
}
