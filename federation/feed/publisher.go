package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"pentad.dev/pentad/federation/feed/feedpb"
)

// PublisherConfig configures a Publisher.
type PublisherConfig struct {
	// Set holds the feeds; those that this process writes (Begin) are published. Required.
	Set *Set
	// One are servers, nearest first: one is published to, the nearest that answers; beyond it the next ones while it
	// refuses a feed.
	One []Peer
	// Each are relays: every one is published to.
	Each []Peer
	// OnAhead is called, from a goroutine of Run, when a reader holds a position above the writer's own (rule 4): the
	// owner takes a higher incarnation (NextIncarnation over l.Highest()) and calls Begin with the whole set again, or,
	// if it has lost its lease, Resign. Until then the feed stands still. Required.
	OnAhead func(id ID, highest Position)
	// OnRejected hears of records that a receiver cannot use (rule 17); may be nil.
	OnRejected func(peer string, id ID, rejections []Rejection)
	// Heartbeat is as in ServiceConfig; it is also how often the writer's mark is sent.
	Heartbeat time.Duration
	// Dialer makes the connections; nil: TCP.
	Dialer Dialer
	// Log may be nil.
	Log *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer
}

// Validate says what is wrong with the configuration.
func (c PublisherConfig) Validate() error {
	switch {
	case c.Set == nil:
		return errors.New("feed publisher: set: is required")
	case c.OnAhead == nil:
		return errors.New("feed publisher: onAhead: is required")
	case c.Heartbeat < 0:
		return fmt.Errorf("feed publisher: heartbeat: %s: must not be negative", c.Heartbeat)
	}
	return validatePeers("feed publisher: peers", slices.Concat(c.One, c.Each))
}

// Publisher brings the feeds that this process writes to one of the servers and to each relay.
type Publisher struct {
	cfg        PublisherConfig
	succession *succession
	peers      []*published // One, then Each
}

// NewPublisher fails on a wrong configuration.
func NewPublisher(cfg PublisherConfig) (*Publisher, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = defaultHeartbeat
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p := &Publisher{cfg: cfg, succession: newSuccession(len(cfg.One))}
	for i, peer := range cfg.One {
		p.peers = append(p.peers, &published{peer: peer, rank: i})
	}
	for _, peer := range cfg.Each {
		p.peers = append(p.peers, &published{peer: peer, rank: -1})
	}
	return p, nil
}

// Run publishes until ctx ends.
func (p *Publisher) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, peer := range p.peers {
		wg.Go(func() { p.keep(ctx, peer) })
	}
	wg.Go(func() { p.watchAhead(ctx) })
	wg.Wait()
	return nil
}

// watchAhead calls OnAhead once for each position that is above a feed that is written here (rule 4).
func (p *Publisher) watchAhead(ctx context.Context) {
	watch := p.cfg.Set.watch(raised)
	defer watch.Close()
	told := map[ID]Position{}
	for {
		for _, id := range watch.Changed() {
			l, ok := p.cfg.Set.Get(id)
			if !ok {
				continue
			}
			if highest := l.ahead(); told[id].Before(highest) {
				told[id] = highest
				p.cfg.Log.Warn("a reader holds a later position than this writer",
					"feed", string(id), "position", highest.String())
				p.cfg.OnAhead(id, highest)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-watch.C():
		}
	}
}

// keep keeps a stream to a peer while it is its turn.
func (p *Publisher) keep(ctx context.Context, peer *published) {
	var retry backOff
	for ctx.Err() == nil {
		began := time.Now()
		err := p.connect(ctx, peer)
		if peer.ended(err) {
			p.cfg.Log.Info("publishing ended", "peer", peer.peer.Name, "error", err)
		}
		retry.wait(ctx, time.Since(began))
	}
}

// connect makes a connection and publishes over it, as often as it is the peer's turn, until it breaks.
func (p *Publisher) connect(ctx context.Context, peer *published) error {
	conn, err := dial(peer.peer, p.cfg.Dialer)
	if err != nil {
		return err
	}
	defer conn.Close()
	for {
		sctx, release, err := p.turn(ctx, peer, conn)
		if err != nil {
			return err
		}
		err = p.stream(sctx, peer, conn)
		left := errors.Is(context.Cause(sctx), errNotNeeded)
		release()
		if !left {
			return err
		}
		peer.ended(nil)
	}
}

// turn waits until the peer is to be published to: at once, or when no nearer one is. The context that it returns ends
// when the turn does. A connection is kept to every server, so that the next takes over at once.
func (p *Publisher) turn(ctx context.Context, peer *published, conn *grpc.ClientConn) (context.Context, func(), error) {
	if peer.rank < 0 {
		return ctx, func() {}, ctx.Err()
	}
	for {
		if err := awaitReady(ctx, conn); err != nil {
			return nil, nil, err
		}
		if sctx, release := p.succession.enter(ctx, peer.rank, conn); sctx != nil {
			return sctx, release, nil
		}
	}
}

// stream publishes to one peer over one stream until it breaks.
func (p *Publisher) stream(ctx context.Context, peer *published, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := feedpb.NewFeedsClient(conn).Publish(ctx)
	if err != nil {
		return err
	}
	in := newInbox()
	p.cfg.Set.addWatcher(in)
	defer p.cfg.Set.removeWatcher(in)
	half := newSender(p.cfg.Set, in, func(l *Log) bool { return l.published() })
	half.acked = func(id ID, a *feedpb.Ack) { p.acked(peer, id, a) }
	half.refused = func(id ID, reason string) {
		p.cfg.Log.Warn("publishing refused", "feed", string(id), "peer", peer.peer.Name, "error", reason)
		peer.feed(id, func(f *PeerFeed) { f.Refused = reason })
		p.settle(peer)
	}
	x := half.exchange(stream.Recv, stream.Send, p.cfg.Heartbeat)
	recv := x.recv
	x.recv = func() (*feedpb.ReceiverMessage, error) {
		m, err := recv()
		if err == nil && peer.connected() {
			p.cfg.Log.Info("publishing", "peer", peer.peer.Name)
			p.settle(peer)
		}
		return m, err
	}
	done, err := x.run(ctx)
	cancel()
	<-done
	return err
}

// acked notes what a receiver holds.
func (p *Publisher) acked(peer *published, id ID, a *feedpb.Ack) {
	held := positionOf(a.GetHeld())
	peer.feed(id, func(f *PeerFeed) {
		f.Open, f.Position, f.Highest, f.Refused = true, held, positionOf(a.GetHighest()), ""
		f.Rejected = a.GetRejected()
		if r := a.GetRejections(); len(r) > 0 {
			f.Rejections = rejectionsOf(r)
		}
	})
	if r := a.GetRejections(); len(r) > 0 && p.cfg.OnRejected != nil {
		p.cfg.OnRejected(peer.peer.Name, id, rejectionsOf(r))
	}
	if peer.rank >= 0 && !p.succession.isSettled(peer.rank) {
		p.settle(peer)
	}
}

// settle lets go of farther servers once this one has every feed, and lets them in while it refuses one.
func (p *Publisher) settle(peer *published) {
	if peer.rank < 0 {
		return
	}
	least := settled
	for _, id := range p.cfg.Set.IDs() {
		if l, ok := p.cfg.Set.Get(id); ok && l.published() {
			least = min(least, peer.has(id, l.Position().Incarnation))
		}
	}
	p.succession.set(peer.rank, least)
}

// Status is the state of the connections: One, then Each, in the configured order.
func (p *Publisher) Status() []PeerStatus {
	out := make([]PeerStatus, len(p.peers))
	for i, peer := range p.peers {
		out[i] = peer.snapshot()
	}
	return out
}
