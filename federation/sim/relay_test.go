package sim

import (
	"context"
	"math/rand/v2"
	"slices"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/xds-relay/upstream"
)

func relayOf(center string) string { return "relay." + center }

// newRelay adds a relay: what it holds of feeds.
func (e *estate) newRelay(center string) *program {
	id := e.issue(e.authority, identity.RoleRelay, clusterOf(center)+"/one")
	host := relayOf(center)
	disk := newDisk()
	// A program's life begins under a lock that its end waits for: its disk is quick.
	disk.slow = 0
	relay := e.addProgram(host, regions[center], func(p *endpoint, _ string) (func(context.Context) error, error) {
		log := e.log.With("relay", host)
		held, err := upstream.New(upstream.Config{
			Dir: "feeds", FS: disk.feeds(), Servers: e.peers(center, id), Dialer: p.dial, Log: log,
			Authorize: func(context.Context, feed.ID) error { return nil },
		})
		if err != nil {
			return nil, err
		}
		listener := p.listen(host + ":1")
		server := grpc.NewServer(append(feed.ServerOptions(), grpc.Creds(credentials.NewTLS(id.Server(identity.RoleAgent, identity.RoleWorkload))))...)
		held.Register(server)
		hop, service, err := e.newRelayed(center, id, p)
		if err != nil {
			return nil, err
		}
		permitpb.RegisterPermitsServer(server, service)
		return func(ctx context.Context) error {
			group, ctx := errgroup.WithContext(ctx)
			group.Go(func() error { return held.Run(ctx) })
			if e.units {
				group.Go(func() error { return hop.tell(ctx) })
				group.Go(func() error { return hop.client.Run(ctx) })
			}
			group.Go(func() error { e.oracle.feeds.follow(ctx, host, held.Set()); return nil })
			group.Go(func() error {
				stop := context.AfterFunc(ctx, server.Stop)
				defer stop()
				_ = server.Serve(listener)
				return nil
			})
			return group.Wait()
		}, nil
	})
	relay.disk, relay.rnd = disk, rand.New(rand.NewPCG(e.seed, 300+uint64(slices.Index(centers, center))))
	return relay
}
