package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pentad.dev/pentad/unitization/permit"
	"pentad.dev/pentad/unitization/permit/permitpb"
	"pentad.dev/pentad/unitization/switchover"
)

// Authority is the intent, as a Root needs it.
type Authority interface {
	// Read returns a revision that includes everything committed before the call (a linearizable read).
	Read(ctx context.Context) (revision uint64, err error)
	// State is the ownership state of this replica with its revision, and a channel that is closed when it changes.
	State() (switchover.State, uint64, <-chan struct{})
	// WaitRevision returns when this replica's State is at least at the revision.
	WaitRevision(ctx context.Context, revision uint64) error
	// OpenSession registers a session in the log.
	OpenSession(ctx context.Context, session switchover.Session) error
	// AckFreeze tells the log of acknowledgements, in one entry.
	AckFreeze(ctx context.Context, acks []switchover.AckFreeze) error
}

// RootConfig configures a Root.
type RootConfig struct {
	// Authority is required.
	Authority Authority
	// Concerns says whether a unitization has cells in a center; nil: each is taken to have. It must be quick.
	Concerns func(unitization, center string) bool
	// Timeout is how long a read, or the registration of a session, may take; 0: one second.
	Timeout time.Duration
	// Gather is how long a read waits for more asks before it begins, and up to five times that while more come; 0: two
	// milliseconds.
	Gather time.Duration
	// Log may be nil.
	Log *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer

	broken breakage
}

// Validate says what is wrong with the configuration.
func (c RootConfig) Validate() error {
	switch {
	case c.Authority == nil:
		return errors.New("permit root: authority: is required")
	case c.Timeout < 0 || c.Gather < 0:
		return fmt.Errorf("permit root: timeout %s, gather %s: must not be negative", c.Timeout, c.Gather)
	}
	return nil
}

// Root is the Grantor of a federation server: it answers relays and agents from the intent.
type Root struct {
	cfg    RootConfig
	count  *rootCounters
	rounds *rounds
	acks   *acks

	mu     sync.Mutex
	leases map[*rootLease]bool
	seen   map[string]*seen
	terms  termsCache
}

// NewRoot fails on a wrong configuration.
func NewRoot(cfg RootConfig) (*Root, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Second
	}
	if cfg.Gather == 0 {
		cfg.Gather = 2 * time.Millisecond
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	count := newRootCounters(cfg.Metrics)
	return &Root{
		cfg: cfg, count: count, rounds: newRounds(cfg, count), acks: newAcks(cfg, count),
		leases: map[*rootLease]bool{}, seen: map[string]*seen{},
	}, nil
}

// Run reads, hints and acknowledges until ctx ends. Without it no ask is answered.
func (r *Root) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { r.rounds.run(ctx) })
	wg.Go(func() { r.acks.run(ctx) })
	wg.Go(func() { r.hint(ctx) })
	wg.Wait()
	return nil
}

// hint hints every stream whenever what permits say has changed.
func (r *Root) hint(ctx context.Context) {
	last, _, changed := r.cfg.Authority.State()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		var now switchover.State
		now, _, changed = r.cfg.Authority.State()
		if !sameTerms(last, now) {
			r.mu.Lock()
			for l := range r.leases {
				select {
				case l.hints <- struct{}{}:
				default:
				}
			}
			r.mu.Unlock()
		}
		last = now
	}
}

// sameTerms says whether permits say the same of both states: sessions, orders and locks are not in them.
func sameTerms(a, b switchover.State) bool {
	if a.Epoch != b.Epoch || len(a.Maps) != len(b.Maps) || len(a.Stores) != len(b.Stores) {
		return false
	}
	for name, m := range a.Maps {
		if n := b.Maps[name]; m != n && (n == nil || m.Epoch != n.Epoch || m.Permit != n.Permit || m.Keep != n.Keep) {
			return false
		}
	}
	for name, s := range a.Stores {
		o := b.Stores[name]
		if s != o && (o == nil || s.Primary != o.Primary || s.Accepting != o.Accepting || s.Token != o.Token) {
			return false
		}
	}
	return true
}

// Open is Grantor's. A session that is not in the log yet is proposed (rule 3 of ownership).
func (r *Root) Open(ctx context.Context, open *permitpb.Open) (Lease, error) {
	session, err := permit.SessionOf(open)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	s, _, _ := r.cfg.Authority.State()
	err = permit.CheckSession(s, session)
	if errors.Is(err, permit.ErrUnregistered) && !r.cfg.broken.has(brokenUnregistered) {
		r.cfg.Log.Info("registering a session", "session", session.ID, "holder", session.Name, "cluster", session.Cluster)
		if err = r.cfg.Authority.OpenSession(ctx, session); err != nil {
			err = fmt.Errorf("session %s: not registered: %w", session.ID, err)
		}
	}
	if err != nil && !r.cfg.broken.has(brokenUnregistered) {
		return nil, err
	}
	l := &rootLease{root: r, session: session, hints: make(chan struct{}, 1)}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leases[l] = true
	return l, nil
}

// rootLease is one stream of a session.
type rootLease struct {
	root    *Root
	session switchover.Session
	hints   chan struct{}
}

// Hints is Lease's.
func (l *rootLease) Hints() <-chan struct{} { return l.hints }

// Close is Lease's. The session stays in the log: only the leader ends it.
func (l *rootLease) Close() {
	l.root.mu.Lock()
	defer l.root.mu.Unlock()
	delete(l.root.leases, l)
}

// Answer is Lease's: from the state at a revision that was read after the ask had arrived.
func (l *rootLease) Answer(ctx context.Context, ask *permitpb.Ask) (*permitpb.Answer, error) {
	r := l.root
	if err := permit.CheckAsk(ask); err != nil {
		return nil, err
	}
	r.saw(l.session.ID, ask.GetRendered())
	if ask.GetReleased() {
		return &permitpb.Answer{Number: ask.GetNumber()}, nil
	}
	// An acknowledgement needs no read: what it says stays true.
	s, _, _ := r.cfg.Authority.State()
	r.acks.add(s, l.session.ID, ask.GetClosed())
	s, at, err := r.read(ctx)
	if err != nil {
		return nil, err
	}
	r.acks.add(s, l.session.ID, ask.GetClosed())
	if err := permit.CheckSession(s, l.session); err != nil && !r.cfg.broken.ignores(err) {
		return nil, err
	}
	r.count.answers.Inc()
	return r.termsFor(s, at, l.session).Answer(ask.GetNumber(), at), nil
}

// read is this replica's state at a revision that was read after the call.
func (r *Root) read(ctx context.Context) (switchover.State, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	revision, err := r.rounds.read(ctx)
	if err != nil {
		return switchover.State{}, 0, fmt.Errorf("read of the intent: %w", err)
	}
	if r.cfg.broken.has(brokenStaleState) {
		s, _, _ := r.cfg.Authority.State()
		return s, revision, nil
	}
	if err := r.cfg.Authority.WaitRevision(ctx, revision); err != nil {
		return switchover.State{}, 0, fmt.Errorf("read of the intent: revision %d: %w", revision, err)
	}
	s, at, _ := r.cfg.Authority.State()
	if at < revision {
		return switchover.State{}, 0, fmt.Errorf("read of the intent: revision %d: the state is at %d", revision, at)
	}
	return s, at, nil
}
