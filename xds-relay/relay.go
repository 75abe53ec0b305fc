package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/process"
	"pentad.dev/pentad/process/cut"
	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/xds-relay/render"
	"pentad.dev/pentad/xds-relay/serve"
	"pentad.dev/pentad/xds-relay/upstream"
)

// resourcesID names the feed of rendered resources; it never leaves the process.
const resourcesID feed.ID = "resources"

// Relay is one relay process.
type Relay struct {
	config    Config
	log       *slog.Logger
	listeners process.Listeners
	dir       *process.DataDir
	identity  *identity.Source
	admin     process.Admin
	upstream  *upstream.Upstream
	pipeline  *pipeline
	resources *feed.Log
	xds       *serve.Server
	grpc      *grpc.Server
	cut       *cut.Cut
	permits   *permits
}

// New takes the data folder and the listeners; Run gives them back. When it fails nothing is held.
func New(config Config, log *slog.Logger) (_ *Relay, err error) {
	r := &Relay{config: config, log: log.With("center", config.Center, "cluster", config.Cluster)}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if r.identity, err = identity.Load(config.Certificates); err != nil {
		return nil, process.Usagef("certificates: %w", err)
	}
	want := identity.ID{TrustDomain: r.identity.ID().TrustDomain, Role: identity.RoleRelay, Name: config.Cluster + "/" + config.Name}
	if r.identity.ID() != want {
		return nil, process.Usagef("certificates.cert: %s is for %s, this relay is %s", config.Certificates.Cert, r.identity.ID(), want)
	}
	if r.cut, err = cut.FromEnv(config.Place); err != nil {
		return nil, err
	}
	if r.dir, err = process.OpenDataDir(config.DataDir, "relay "+config.Cluster+"/"+config.Name); err != nil {
		return nil, err
	}
	if r.listeners, err = process.Listen(map[string]string{"grpc": config.Listen.GRPC, "admin": config.Listen.Admin}); err != nil {
		return nil, err
	}
	metrics := process.NewMetrics()
	r.admin = process.Admin{Listener: r.listeners["admin"], Metrics: metrics, Ready: r.ready, Status: r.status, Log: r.log}
	r.upstream, err = upstream.New(upstream.Config{
		Dir: filepath.Join(config.DataDir, "feeds"), Cluster: config.Cluster, Servers: r.servers(process.Spread), Authorize: r.mayPublish, Dialer: r.cut.Dialer(),
		Log: r.log, Metrics: metrics,
	})
	if err != nil {
		return nil, err
	}
	r.resources = feed.NewLog(resourcesID, feed.Filter{}, feed.Options{Log: r.log})
	view := render.View{Class: render.ClassGRPC, Region: config.Region, Center: config.Center}
	if r.pipeline, err = newPipeline(r.upstream, r.resources, config.Cluster, view, r.log); err != nil {
		return nil, err
	}
	r.xds, err = serve.New(serve.Config{
		Name: config.Name, Resources: r.resources, Log: r.log, Metrics: metrics, Since: render.Since,
		OnDemand: body(render.OnDemand),
		Absent:   body(func(typeURL, name string) (render.Resource, bool) { return render.Absent(typeURL, name, view) }),
	})
	if err != nil {
		return nil, err
	}
	if err = r.openPermits(metrics); err != nil {
		return nil, err
	}
	r.serveGRPC()
	return r, nil
}

func body(f func(typeURL, name string) (render.Resource, bool)) func(typeURL, name string) ([]byte, bool) {
	return func(typeURL, name string) ([]byte, bool) {
		resource, ok := f(typeURL, name)
		return resource.Body, ok
	}
}

// servers are the configured servers: nearest first, or as process.Spread orders them.
func (r *Relay) servers(order func(process.Place, []Peer, func(Peer) process.Place) []Peer) []feed.Peer {
	servers := order(r.config.Place, r.config.Servers, func(s Peer) process.Place { return s.Place })
	peers := make([]feed.Peer, len(servers))
	for i, s := range servers {
		peers[i] = feed.Peer{Name: s.Name, Address: s.GRPC, TLS: r.identity.Client(identity.RoleServer)}
	}
	return peers
}

func (r *Relay) serveGRPC() {
	options := append(feed.ServerOptions(), serve.ServerOptions()...)
	options = append(options,
		grpc.Creds(credentials.NewTLS(r.identity.Server(identity.RoleWorkload, identity.RoleAgent))),
		grpc.ChainStreamInterceptor(authorizeStream))
	r.grpc = grpc.NewServer(options...)
	r.upstream.Register(r.grpc)
	r.xds.Register(r.grpc)
	permitpb.RegisterPermitsServer(r.grpc, r.permits.server)
}

// publishMethod is the only method that agents call; workloads call all others.
const publishMethod = "/pentad.feed.v1.Feeds/Publish"

func authorizeStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	caller, err := identity.Caller(stream.Context())
	if err != nil {
		return status.Error(codes.Unauthenticated, err.Error())
	}
	want := identity.RoleWorkload
	if info.FullMethod == publishMethod {
		want = identity.RoleAgent
	}
	if caller.Role != want {
		return status.Errorf(codes.PermissionDenied, "%s may not call %s: only role %s may", caller, info.FullMethod, want)
	}
	return handler(srv, stream)
}

// mayPublish lets the cluster's own agent write the cluster's own feeds, and nobody anything else.
func (r *Relay) mayPublish(ctx context.Context, id feed.ID) error {
	caller, err := identity.Caller(ctx)
	if err != nil {
		return err
	}
	cluster, _, _ := model.SplitFeedID(id)
	if cluster != r.config.Cluster || caller.Role != identity.RoleAgent || caller.Name != cluster {
		return fmt.Errorf("%s may not publish feed %s here: only the agent of cluster %s may, and only its feeds", caller, id, r.config.Cluster)
	}
	return nil
}

func (r *Relay) ready() error {
	if r.resources.Position().IsZero() {
		return upstream.ErrNotReady
	}
	return nil
}

// Run serves until ctx ends, and returns when everything has stopped.
func (r *Relay) Run(ctx context.Context) error {
	defer r.close()
	r.log.Info("relay runs", "id", r.identity.ID().String(), "grpc", r.listeners["grpc"].Addr().String())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.identity.Run(ctx, r.log) })
	group.Go(func() error { return r.admin.Run(ctx) })
	group.Go(func() error { return r.upstream.Run(ctx) })
	group.Go(func() error { return r.pipeline.run(ctx) })
	group.Go(func() error { return r.permits.client.Run(ctx) })
	group.Go(func() error { return r.permits.tell(ctx) })
	group.Go(func() error { return r.cut.Run(ctx, r.log) })
	group.Go(func() error {
		defer r.grpc.Stop() // after the streams were closed, spread over a while
		return r.xds.Run(ctx)
	})
	group.Go(func() error {
		if err := r.grpc.Serve(r.listeners["grpc"]); !errors.Is(err, grpc.ErrServerStopped) {
			return err
		}
		return nil
	})
	return group.Wait()
}

func (r *Relay) close() {
	r.listeners.Close()
	if r.dir != nil {
		r.dir.Close()
	}
}
