package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pentad.dev/pentad/federation/feed/feedpb"
)

// FollowerConfig configures a Follower.
type FollowerConfig struct {
	// Set takes the copies. Required.
	Set *Set
	// Peers are whom to follow, nearest first, until SetPeers says otherwise.
	Peers []Peer
	// Connections is how many peers to be connected to, the nearest that answer; 0: all. With one, a starved connection
	// is noticed by its silence only.
	Connections int
	// Want says which feeds to follow and what part of them; it must be quick and is asked often. Nil: all but IntentID.
	Want func(ID) (Filter, bool)
	// Validator judges the records; may be nil.
	Validator Validator
	// Patience is how long a copy may stay behind a position that a peer announced before a second stream is opened there
	// (rule 18); 0: two seconds.
	Patience time.Duration
	// Heartbeat is as in ServiceConfig.
	Heartbeat time.Duration
	// Dialer makes the connections; nil: TCP.
	Dialer Dialer
	// Log may be nil.
	Log *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer
}

// Validate says what is wrong with the configuration.
func (c FollowerConfig) Validate() error {
	switch {
	case c.Set == nil:
		return errors.New("feed follower: set: is required")
	case c.Connections < 0:
		return fmt.Errorf("feed follower: connections: %d: must not be negative", c.Connections)
	case c.Patience < 0:
		return fmt.Errorf("feed follower: patience: %s: must not be negative", c.Patience)
	case c.Heartbeat < 0:
		return fmt.Errorf("feed follower: heartbeat: %s: must not be negative", c.Heartbeat)
	}
	return validatePeers("feed follower: peers", c.Peers)
}

// Follower keeps copies of other processes' feeds: each at the most preferred connected peer, its home first, and at a
// second one while the first stays behind.
type Follower struct {
	cfg   FollowerConfig
	count *counters

	// mu is taken before any half's.
	mu      sync.Mutex
	chooser *chooser
	peers   []*followed // nearest first
	numbers int         // of peers so far
	// running is set while Run runs: it starts what keeps a stream to a peer.
	running func(*followed)
	// shuffled is closed and replaced when a peer comes or goes, so that the others see whether they are needed.
	shuffled chan struct{}
}

// followed is a peer; its fields belong to the follower's lock.
type followed struct {
	// number is the chooser's name for it, never used again.
	number int
	peer   Peer
	// half is the receiving half of the stream; nil: none.
	half      *receiver
	connected bool
	err       error
	// removed: it is not followed any more; stop ends its stream.
	removed bool
	stop    context.CancelFunc
}

// NewFollower fails on a wrong configuration.
func NewFollower(cfg FollowerConfig) (*Follower, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = defaultHeartbeat
	}
	if cfg.Patience == 0 {
		cfg.Patience = defaultPatience
	}
	if cfg.Want == nil {
		cfg.Want = func(id ID) (Filter, bool) { return Filter{}, id != IntentID }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	f := &Follower{cfg: cfg, count: newCounters(cfg.Metrics), shuffled: make(chan struct{})}
	f.chooser = newChooser(0, cfg.Patience, cfg.Want, cfg.Set.opts.broken)
	f.chooser.ended = cfg.Set.ended
	f.SetPeers(cfg.Peers)
	return f, nil
}

// Run follows until ctx ends. It may be called once.
func (f *Follower) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	f.mu.Lock()
	f.running = func(p *followed) {
		pctx, stop := context.WithCancel(ctx)
		p.stop = stop
		wg.Go(func() {
			defer stop()
			f.keep(pctx, p)
		})
	}
	for _, p := range f.peers {
		f.running(p)
	}
	f.mu.Unlock()
	look := time.NewTicker(max(f.cfg.Patience/4, time.Millisecond))
	defer look.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-look.C:
			f.Reconsider()
		}
	}
	f.mu.Lock()
	f.running = nil
	f.mu.Unlock()
	wg.Wait()
	return nil
}

// keep keeps a stream to a peer while it is needed.
func (f *Follower) keep(ctx context.Context, p *followed) {
	var retry backOff
	for f.awaitNeed(ctx, p) {
		began := time.Now()
		sctx, cancel := context.WithCancelCause(ctx)
		over := make(chan struct{})
		go func() { // ends the stream when nearer peers are there again
			defer close(over)
			f.awaitNoNeed(sctx, p, cancel)
		}()
		err := f.stream(sctx, p)
		cancel(nil)
		<-over
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errNotNeeded) {
			continue
		}
		f.mu.Lock()
		news := p.err == nil || p.err.Error() != err.Error()
		p.err = err
		f.mu.Unlock()
		if news { // a server that stays away is not worth a line each time
			f.cfg.Log.Info("stream of feeds ended", "peer", p.peer.Name, "error", err)
		}
		retry.wait(ctx, time.Since(began))
	}
}

// stream follows one peer over one stream until it breaks.
func (f *Follower) stream(ctx context.Context, p *followed) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.mu.Lock()
	peer := p.peer
	f.mu.Unlock()
	conn, err := dial(peer, f.cfg.Dialer)
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := feedpb.NewFeedsClient(conn).Subscribe(ctx)
	if err != nil {
		return err
	}
	in := newInbox()
	half := newReceiver(f.cfg.Set, in)
	defer half.end()
	half.validator, half.count = f.cfg.Validator, f.count
	half.report = func(id ID, what string, err error) {
		f.cfg.Log.Warn(what, "feed", string(id), "peer", peer.Name, "error", err)
	}
	x := half.exchange(stream.Recv, stream.Send, f.cfg.Heartbeat, func(as []*feedpb.Announcement, lost []ID) {
		f.heard(p, half, as, lost)
	})
	done, err := x.run(ctx)
	cancel()
	<-done
	f.disconnect(p)
	return err
}
