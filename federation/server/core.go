package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"pentad.dev/pentad/federation/consensus"
	"pentad.dev/pentad/federation/controller"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/feed/feedpb"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/process"
	"pentad.dev/pentad/unitization/permit/stream"
)

// Environment is what a Core has of the world: everything that a simulation puts its own in the place of.
type Environment struct {
	// Raft and GRPC take the other servers', the agents' and the relays' calls; the Core closes them.
	Raft, GRPC net.Listener
	// Dial connects to another server's address.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// FS is the file system under the Raft log; nil: the operating system's.
	FS consensus.FS
	// Identity and RaftIdentity are the server's towards everyone and towards the other voters.
	Identity, RaftIdentity *identity.Source
	// Metrics takes the Core's numbers.
	Metrics process.Metrics
	// Fatal ends the process when its disk failed.
	Fatal func(error)
	// Adjust is zero but in simulations.
	Adjust Adjust
}

// Core is a federation server without what belongs to its process: the replicated intent, feeds, permits, and what
// only a leader does. The API and the admin page stand on it.
type Core struct {
	config  Config
	env     Environment
	log     *slog.Logger
	machine *intent.FSM
	node    *consensus.Node
	vacancy *vacancy
	peers   *peers
	feeds   *feed.Set
	// withdrawal keeps out what was deleted.
	withdrawal *withdrawal
	service    *feed.Service
	follower   *feed.Follower
	grpc       *grpc.Server

	backend    *backend
	attention  *attention
	permits    *stream.Root
	controller *controller.Controller

	enrolment *enrolment
	strangers strangers
	clocks    clocks
	roll      roll
	// reign is this server's leadership; nil while it does not lead.
	reign  atomic.Pointer[reign]
	handed sync.Once
	// backedUp is when a whole backup was sent last, unix time.
	backedUp atomic.Int64
}

// NewCore opens the data folders; Run closes them, or Close. The folder of the process is the caller's to hold.
func NewCore(config Config, env Environment, log *slog.Logger) (_ *Core, err error) {
	s := &Core{config: config, env: env, log: log, vacancy: newVacancy(), attention: newAttention(time.Now())}
	s.peers = &peers{connect: s.connect}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.machine, err = intent.New(adjusted(intent.Config{Feed: s.feedOptions()}, env.Adjust.Intent)); err != nil {
		return nil, err
	}
	if s.node, err = consensus.New(adjusted(s.consensusConfig(env.Metrics), env.Adjust.Consensus)); errors.Is(err, consensus.ErrFolder) {
		return nil, &process.UsageError{Err: err}
	} else if err != nil {
		return nil, err
	}
	s.enrolment = newEnrolment(s.node.Folder())
	s.backend = s.newBackend()
	if err = s.peers.set(s.known()); err != nil {
		return nil, err
	}
	if err = s.openFeeds(env.Metrics); err != nil {
		return nil, err
	}
	s.serveGRPC()
	return s, errors.Join(s.servePermits(env.Metrics), s.openController())
}

// machine is intent.FSM as consensus wants it: the two rooms don't know each other.
type machine struct{ *intent.FSM }

func (m machine) Snapshot() (consensus.Snapshot, error) { return m.FSM.Snapshot() }

func (s *Core) feedOptions() feed.Options {
	return adjusted(feed.Options{Log: s.log}, s.env.Adjust.Feeds)
}

func (s *Core) openFeeds(metrics process.Metrics) (err error) {
	if s.feeds, err = feed.OpenSet(filepath.Join(s.config.DataDir, "feeds"), s.feedOptions()); err != nil {
		return err
	}
	s.withdrawal = newWithdrawal(s.feeds)
	s.feeds.Add(s.machine.Feed())
	s.service, err = feed.NewService(feed.ServiceConfig{
		Set: s.feeds, Authorize: s.mayPublish, AuthorizeRead: s.mayRead, Validator: validate, Log: s.log, Metrics: metrics,
	})
	if err != nil {
		return err
	}
	s.follower, err = feed.NewFollower(feed.FollowerConfig{
		Set: s.feeds, Peers: s.feedPeers(s.known()), Want: s.withdrawal.want, Validator: validate, Log: s.log, Metrics: metrics,
		Dialer: s.env.Dial,
	})
	return err
}

func validate(_ feed.ID, r *feed.Record) error {
	if r.Value == nil {
		return nil
	}
	return model.Check(r.Kind, r.Key, r.Value)
}

func (s *Core) serveGRPC() {
	options := append(feed.ServerOptions(),
		grpc.Creds(credentials.NewTLS(s.env.Identity.Server(identity.RoleServer, identity.RoleAgent, identity.RoleRelay))),
		grpc.ChainUnaryInterceptor(s.unary), grpc.ChainStreamInterceptor(s.streamed))
	s.grpc = grpc.NewServer(options...)
	feedpb.RegisterFeedsServer(s.grpc, s.service)
	intentpb.RegisterIntentServer(s.grpc, forwarded{server: s})
	intentpb.RegisterMembershipServer(s.grpc, membership{server: s})
}

// mayPublish lets an agent write its own cluster's feeds, and nobody anything else.
func (s *Core) mayPublish(ctx context.Context, id feed.ID) error {
	caller, err := identity.Caller(ctx)
	if err != nil {
		return err
	}
	cluster, _, _ := model.SplitFeedID(id)
	if caller.Role != identity.RoleAgent || cluster == "" || caller.Name != cluster {
		return fmt.Errorf("%s may not publish feed %s: only the agent of its cluster may", caller, id)
	}
	return s.withdrawal.refusal(id)
}

// mayRead lets every server, agent and relay read every feed; the listener takes nobody else.
func (s *Core) mayRead(ctx context.Context, _ feed.ID) error {
	_, err := identity.Caller(ctx)
	return err
}

// ready says whether a linearizable read can be answered here.
func (s *Core) ready() error {
	if err := s.enrolment.pending(); err != nil {
		return err
	}
	if leader, _, _ := s.node.Leader(); leader == "" {
		return errors.New("no leader is known: a majority of the voters must be up and reach each other")
	}
	return nil
}

// Run serves until ctx ends, and returns when everything has stopped. A disk that fails or hangs ends it with an error,
// and so do ErrRemoved, and a process.UsageError when no cluster can ever take this server with its data folder.
func (s *Core) Run(ctx context.Context) error {
	defer s.Close()
	ctx, cancel := s.untilHandedOver(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.enrol(ctx) })
	group.Go(func() error { return s.announce(ctx) })
	group.Go(func() error { return s.watchRemoval(ctx) })
	group.Go(func() error { return s.followTable(ctx) })
	group.Go(func() error { return s.node.Run(ctx) })
	group.Go(func() error { return s.vacancy.run(ctx, s.node) })
	group.Go(func() error { return s.feeds.Run(ctx) })
	group.Go(func() error { return s.follower.Run(ctx) })
	group.Go(func() error { return s.withdraw(ctx) })
	group.Go(func() error { return s.permits.Run(ctx) })
	group.Go(func() error { return s.attention.run(ctx) })
	group.Go(func() error { return s.lead(ctx) })
	group.Go(func() error {
		stop := context.AfterFunc(ctx, s.grpc.Stop)
		defer stop()
		if err := s.grpc.Serve(s.env.GRPC); !errors.Is(err, grpc.ErrServerStopped) {
			return err
		}
		return nil
	})
	return group.Wait()
}

// Close frees what a Core holds that was not run, and the connections of one that was.
func (s *Core) Close() {
	s.peers.close()
	if s.node != nil {
		_ = s.node.Close()
	}
}
