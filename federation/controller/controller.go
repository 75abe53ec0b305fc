package controller

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/intent"
	"pentad.dev/pentad/federation/intent/intentpb"
	"pentad.dev/pentad/unitization/switchover"
)

const (
	// askEvery is how often the servers are asked about sessions while a switchover waits for relays.
	askEvery = 50 * time.Millisecond
	// askAtRest is how often otherwise.
	askAtRest = 5 * time.Second
	// proposesIn bounds one proposal. One that is given up may still happen; it is then seen in the state.
	proposesIn = 2 * time.Second
	// pauseAfter is how long the controller waits after a proposal that failed or was refused.
	pauseAfter = 100 * time.Millisecond
)

// Machine is the replicated state as this server holds it.
type Machine interface {
	// Ownership is the present state with its revision; the channel is closed at its next change.
	Ownership() (switchover.State, uint64, <-chan struct{})
	View() intent.View
}

// Config is what a Controller needs.
type Config struct {
	Machine Machine
	// Propose proposes at this server alone, and fails when it does not lead.
	Propose func(context.Context, *intentpb.Command) (intent.Result, error)
	// Progress asks all servers that answer soon what they hear of sessions.
	Progress func(context.Context) []*intentpb.SessionProgress
	// Hearings asks all servers that answer soon what they hear of clusters.
	Hearings func(context.Context) Hearings
	// Feeds are the clusters' feeds, with what agents report.
	Feeds *feed.Set
	Log   *slog.Logger

	// now is asked instead of the system's clocks in tests.
	now func() time.Time
}

// Validate names every wrong field.
func (c Config) Validate() error {
	var errs []error
	for field, missing := range map[string]bool{
		"machine": c.Machine == nil, "propose": c.Propose == nil, "progress": c.Progress == nil,
		"hearings": c.Hearings == nil, "feeds": c.Feeds == nil,
		"log": c.Log == nil,
	} {
		if missing {
			errs = append(errs, errors.New("controller: "+field+": must not be nil"))
		}
	}
	return errors.Join(errs...)
}

// Controller carries switchovers on, and has clusters expire, while its server leads.
type Controller struct {
	cfg Config
	// held is why withdrawals are held back, as found in this leadership; nil: they are not, or nobody leads here.
	held atomic.Pointer[intentpb.Held]
}

// Held is why withdrawals are held back, as the leader that works here finds; nil: they are not, or none does. An Estate
// says it too, to everyone; there need not be one.
func (c *Controller) Held() *intentpb.Held { return c.held.Load() }

// New checks the configuration.
func New(cfg Config) (*Controller, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.now == nil {
		cfg.now = time.Now
	}
	return &Controller{cfg: cfg}, nil
}

// Lead works until ctx, which ends with the leadership in that term, is done. Everything that it remembers ends with it.
func (c *Controller) Lead(ctx context.Context, term uint64) {
	var group sync.WaitGroup
	defer c.held.Store(nil)
	defer group.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t := &tenure{cfg: c.cfg, term: term, memory: newMemory(), news: make(chan struct{}, 1), log: c.cfg.Log.With("term", term), held: &c.held}
	group.Go(func() { t.listen(ctx) })
	group.Go(func() { t.ask(ctx) })
	group.Go(func() { t.expire(ctx) })
	t.work(ctx)
}
