package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/permit/stream"
	"pentad.dev/pentad/unitization/route"
)

// The headers, in lower case as gRPC sends them.
const (
	// HeaderShard carries the request's shard, stamped by the client side.
	HeaderShard = "x-pentad-shard"
	// HeaderCell names the cell that a refusal named. It is for routing; guards pay no heed to it.
	HeaderCell = "x-pentad-cell"
)

const defaultDrain = 5 * time.Second

// Config configures a Guard.
type Config struct {
	// Cells are what the workload is, by name (<unit>.<center>). The identity comes from here alone; the relay compares it
	// with the certificate (rule 8 of ownership). Required.
	Cells []string
	// Service is the workload's service as the Unitization names it. Required.
	Service string
	// Relays are asked for permits and rules, in order of preference. Required.
	Relays []stream.Peer
	// Name is the instance, for people and logs; unique in the process. Required.
	Name string
	// Cluster and Center are where it runs; every cell is in Center. Center is required.
	Cluster, Center string
	// Clock is what permits are counted on; nil: permit.SystemClock.
	Clock permit.Clock
	// Every is the time between asks; 0: one second.
	Every time.Duration
	// Drain is how long Run waits, after its context has ended, for writes in flight; 0: five seconds.
	Drain time.Duration
	// Observer is told of each decision on a write, and of ranges that open and close here. It is called on the request's
	// own way, by many goroutines at once, and must be quick, and not call the guard. May be nil.
	Observer func(Event)
	// Dial may be nil.
	Dial stream.Dialer
	// Log may be nil.
	Log *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer

	// broken is for tests.
	broken breakage
	// paused is for tests: it is called between the first look at the map and the count.
	paused func()
}

// Validate says what is wrong with the configuration.
func (c Config) Validate() error {
	switch {
	case len(c.Cells) == 0:
		return errors.New("guard: cells: are required")
	case c.Service == "":
		return errors.New("guard: service: is required")
	case c.Name == "":
		return errors.New("guard: name: is required")
	case c.Center == "":
		return errors.New("guard: center: is required")
	case len(c.Relays) == 0:
		return errors.New("guard: relays: are required")
	case c.Every < 0:
		return fmt.Errorf("guard: every: %s: must not be negative", c.Every)
	case c.Drain < 0:
		return fmt.Errorf("guard: drain: %s: must not be negative", c.Drain)
	}
	for _, cell := range c.Cells {
		if unit, center, _ := strings.Cut(cell, "."); unit == "" || center != c.Center {
			return fmt.Errorf("guard: cells: %q: must be <unit>.%s, since the guard is in center %s", cell, c.Center, c.Center)
		}
	}
	return nil
}

// Guard stands before a workload and refuses writes that its cell may not take now.
type Guard struct {
	cfg    Config
	client *stream.Client
	rules  *stream.RulesClient
	wakes  chan struct{}

	// state is what Check looks at. Only holders of mu replace it.
	state atomic.Pointer[state]
	// closing says that a freeze waits for writes in flight, so that their end is worth an ask.
	closing atomic.Bool
	// idle is told, while the guard drains, when a shard has no write in flight any more.
	idle chan struct{}

	mu sync.Mutex
	// tables are the rules; nil: none yet.
	tables *route.Tables
	// told are the freezes that the last ask named.
	told []uint64
	// doors are the ranges that Observer was told of as open.
	doors    map[door]bool
	refusals refusals
}

// state is everything that a decision needs; immutable.
type state struct {
	// methods of the service; nil, of which everything is a write, before there are rules.
	methods *route.Methods
	// own is the map of the service's Unitization; nil: not known.
	own *owned
	// all are the maps by Unitization.
	all map[string]*owned
	// draining guards take no more writes, ever.
	draining bool
}

// New fails on a wrong configuration.
func New(cfg Config) (*Guard, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Clock == nil {
		cfg.Clock = permit.SystemClock()
	}
	if cfg.Drain == 0 {
		cfg.Drain = defaultDrain
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Log = cfg.Log.With("cluster", cfg.Cluster, "center", cfg.Center, "cell", strings.Join(cfg.Cells, " "))
	cfg.Cells = slices.Clone(cfg.Cells)
	g := &Guard{cfg: cfg, wakes: make(chan struct{}, 1), idle: make(chan struct{}, 1), doors: map[door]bool{}}
	g.state.Store(&state{})
	var err error
	g.client, err = stream.NewClient(stream.ClientConfig{
		Peers: cfg.Relays, Holder: holder{g}, Clock: cfg.Clock, Every: cfg.Every, Dial: cfg.Dial, Log: cfg.Log,
		Metrics: cfg.Metrics,
		Open: &permitpb.Open{
			Holder: permitpb.Holder_HOLDER_GUARD, Name: cfg.Name, Cluster: cfg.Cluster, Center: cfg.Center, Cells: cfg.Cells,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	g.rules, err = stream.NewRulesClient(stream.RulesConfig{
		Peers: cfg.Relays, Take: g.takeRules, Dial: cfg.Dial, Log: cfg.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	g.register(cfg.Metrics)
	return g, nil
}

// Run holds the permit until ctx ends. Then it drains: new writes are refused, those in flight are waited for, and the
// relay is told that nothing is held any more. A guard that has run refuses writes for good. Stop the workload's server
// after Run has returned, so that refusals, which clients carry elsewhere, take the place of broken connections.
func (g *Guard) Run(ctx context.Context) error {
	// Permits go on while writes in flight are waited for, so that a freeze hears of their end.
	held, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	var wg sync.WaitGroup
	var held1, rules error
	wg.Go(func() { held1 = g.client.Run(held) })
	wg.Go(func() { rules = g.rules.Run(held) })
	wg.Go(func() { g.watchDoors(held) })
	<-ctx.Done()
	g.drain()
	release()
	wg.Wait()
	return errors.Join(unlessDone(held1), unlessDone(rules))
}

func unlessDone(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// drain refuses new writes and waits for those in flight.
func (g *Guard) drain() {
	g.mu.Lock()
	s := *g.state.Load()
	s.draining = true
	g.replace(&s)
	g.tellDoors(g.cfg.Clock.Now())
	g.mu.Unlock()
	late := time.NewTimer(g.cfg.Drain)
	defer late.Stop()
	for g.InFlight() > 0 {
		select {
		case <-g.idle:
		case <-late.C:
			g.cfg.Log.Warn("writes are in flight still; the permit is left to end by itself", "writes", g.InFlight())
			return
		}
	}
}

// InFlight is how many writes are.
func (g *Guard) InFlight() int64 {
	var n int64
	for _, m := range g.state.Load().all {
		for i := range m.counts {
			n += m.counts[i].flight.Load()
		}
	}
	return n
}

// Status is how the guard's permit stands, for operators.
func (g *Guard) Status() stream.ClientStatus { return g.client.Status() }

// replace makes s the state. Holders of mu call it.
func (g *Guard) replace(s *state) {
	s.own = nil
	var table *route.Table
	if g.tables != nil {
		table = g.tables.Service(g.cfg.Service)
	}
	switch {
	case table != nil:
		s.methods, s.own = table.Methods(g.cfg.Service), s.all[table.Unitization()]
	case len(s.all) == 1:
		// The right to write does not hang on rules: where there is one map only, it is the service's.
		for _, m := range s.all {
			s.own = m
		}
	}
	g.state.Store(s)
}

// takeRules takes the rules from the relay. Wrong ones change nothing.
func (g *Guard) takeRules(r *permitpb.RulesResponse) {
	g.mu.Lock()
	defer g.mu.Unlock()
	tables := nextTables(g.tables, r, g.cfg.Log)
	if tables == g.tables {
		return
	}
	g.tables = tables
	s := *g.state.Load()
	s.methods = nil
	g.replace(&s)
}
