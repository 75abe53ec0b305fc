// Package upstream is where a relay's knowledge comes from: the intent and every cluster's feeds, subscribed to at the
// federation servers, and its own cluster's feeds, published to it directly by the cluster's agent. All of it is kept on
// disk as the last known good state, so a relay that starts with nobody to ask serves what it knew.
package upstream

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/feed/feedpb"
	"pentad.dev/pentad/federation/model"
)

// connections is how many servers a relay is connected to: it reads at the nearest, and hears from the second when the
// first one stays behind, as a server does that is itself cut off.
const connections = 2

// patience is how long a relay stays with a server that is behind another one: a switchover waits for relays.
const patience = 500 * time.Millisecond

// confirmWithin is how long a relay that knows nothing waits for writers to confirm what a server holds.
const confirmWithin = 10 * time.Second

// Config of an Upstream.
type Config struct {
	// Dir keeps the last known good state.
	Dir string
	// FS is the disk that Dir is on; nil: the operating system's.
	FS feed.FS
	// Servers are the federation servers, nearest first.
	Servers []feed.Peer
	// Cluster is the relay's own, whose feeds stay whatever is declared.
	Cluster string
	// Authorize says whether the caller may publish a feed here.
	Authorize func(ctx context.Context, id feed.ID) error
	// Dialer makes the connections to the servers; nil: TCP.
	Dialer  feed.Dialer
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Upstream holds a relay's copies of feeds.
type Upstream struct {
	set       *feed.Set
	service   *feed.Service
	follower  *feed.Follower
	withdrawn *withdrawn
	opened    time.Time
	ready     atomic.Bool
}

// New loads the last known good state from disk.
func New(cfg Config) (*Upstream, error) {
	set, err := feed.OpenSet(cfg.Dir, feed.Options{Log: cfg.Log, FS: cfg.FS})
	if err != nil {
		return nil, err
	}
	u := &Upstream{set: set, withdrawn: newWithdrawn(set, cfg.Cluster, cfg.Log), opened: time.Now()}
	u.service, err = feed.NewService(feed.ServiceConfig{
		Set: set, Authorize: cfg.Authorize, Validator: validate, Log: cfg.Log, Metrics: cfg.Metrics,
	})
	if err != nil {
		return nil, err
	}
	u.follower, err = feed.NewFollower(feed.FollowerConfig{
		Set: set, Peers: cfg.Servers, Connections: connections, Patience: patience, Want: u.want, Validator: validate,
		Dialer: cfg.Dialer, Log: cfg.Log, Metrics: cfg.Metrics,
	})
	if err != nil {
		return nil, err
	}
	if intent, ok := set.Get(feed.IntentID); ok && !intent.Position().IsZero() {
		u.ready.Store(true)
	}
	return u, nil
}

// want is all that a relay renders from; what agents report is for the servers.
func (u *Upstream) want(id feed.ID) (feed.Filter, bool) {
	if id == feed.IntentID {
		return feed.Filter{}, true
	}
	cluster, source, ok := model.SplitFeedID(id)
	return feed.Filter{}, ok && source != model.ReportsSource && !u.withdrawn.is(cluster)
}

func validate(id feed.ID, r *feed.Record) error {
	if id == feed.IntentID || r.Value == nil {
		return nil
	}
	return model.Check(r.Kind, r.Key, r.Value)
}

// Register serves the agent's publications.
func (u *Upstream) Register(s grpc.ServiceRegistrar) { feedpb.RegisterFeedsServer(s, u.service) }

// Set is what the relay holds.
func (u *Upstream) Set() *feed.Set { return u.set }

// Status is the state of the connections to the servers.
func (u *Upstream) Status() []feed.PeerStatus { return u.follower.Status() }

// ErrNotReady is why a relay shows nothing yet.
var ErrNotReady = errors.New("neither a last known good state on disk, nor all of what a federation server announced")

// Ready is nil once the copies are fit to be rendered, and stays so: there was a last known good state on disk, or a
// connected server's whole announcement has arrived and each writer has confirmed it, or, since a writer may be gone, did
// not for a while. To show less than that would withdraw endpoints that exist.
func (u *Upstream) Ready() error {
	if u.ready.Load() {
		return nil
	}
	patient := time.Since(u.opened) < confirmWithin
	for _, peer := range u.follower.Status() {
		if peer.Connected && u.holds(peer, patient) {
			u.ready.Store(true)
			return nil
		}
	}
	return ErrNotReady
}

// holds says whether all that a server announced has arrived, and, with confirmed, is known to be the writers' latest.
func (u *Upstream) holds(peer feed.PeerStatus, confirmed bool) bool {
	intent := false
	for _, announced := range peer.Feeds {
		if _, wanted := u.want(announced.ID); !wanted {
			continue
		}
		held, ok := u.set.Get(announced.ID)
		if !ok || held.Position().Before(announced.Position) || confirmed && held.Stale() {
			return false
		}
		intent = intent || announced.ID == feed.IntentID && !held.Position().IsZero()
	}
	return intent
}

// Run follows and saves until ctx ends.
func (u *Upstream) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return u.set.Run(ctx) })
	group.Go(func() error { return u.follower.Run(ctx) })
	group.Go(func() error { return u.withdrawn.run(ctx) })
	return group.Wait()
}
