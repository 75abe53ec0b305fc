package vm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"pentad.dev/pentad/agents/source"
)

const (
	defaultPoll   = 2 * time.Second
	defaultChecks = 256
)

// Config is what a Source needs.
type Config struct {
	// Path is the registry file.
	Path string
	// Since is the file in the agent's data folder that remembers when each service was first exported; empty: forgotten
	// at the end of the process.
	Since string
	// Poll is how often the file is looked at besides file events; 0: 2 s.
	Poll time.Duration
	// Checks is how many health checks may run at once; 0: 256.
	Checks int
	Log    *slog.Logger
}

// Validate names every wrong field.
func (c Config) Validate() error {
	var errs []error
	if c.Path == "" {
		errs = append(errs, errors.New("path: must name the registry file"))
	}
	if c.Poll < 0 {
		errs = append(errs, fmt.Errorf("poll: %s must not be negative", c.Poll))
	}
	if c.Checks < 0 {
		errs = append(errs, fmt.Errorf("checks: %d must not be negative", c.Checks))
	}
	if c.Log == nil {
		errs = append(errs, errors.New("log: must not be nil"))
	}
	return errors.Join(errs...)
}

// breakage breaks rules on purpose. Only tests set it.
type breakage struct {
	// halfFile reads a file that is still being written.
	halfFile bool
	// emptyBeforeRead answers with an empty set while there is no good file yet.
	emptyBeforeRead bool
	// dropDraining publishes no draining instances.
	dropDraining bool
	// unchecked publishes new instances as ready before their first check.
	unchecked bool
}

// Source is a cluster of VMs: services and instances from a watched file, and active health checks. It is a
// source.Source.
type Source struct {
	cfg    Config
	broken breakage
	// patience is the file's.
	patience time.Duration

	mu sync.Mutex
	// estate is what the present Run holds; nil between Runs.
	estate *estate
}

var _ source.Source = (*Source)(nil)

// New returns a source; the file need not be there yet.
func New(cfg Config) (*Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Poll == 0 {
		cfg.Poll = defaultPoll
	}
	if cfg.Checks == 0 {
		cfg.Checks = defaultChecks
	}
	return &Source{cfg: cfg, patience: defaultPatience}, nil
}

// Run follows the file and checks the instances until ctx ends. When it returns, everything that it started has
// stopped.
func (s *Source) Run(ctx context.Context, out source.Sink) error {
	since, err := s.openSince()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	e := newEstate(ctx, s.cfg, s.broken, since)
	s.set(e)
	readings := make(chan reading)
	watch := watcher{
		file: file{path: s.cfg.Path, patience: s.patience, careless: s.broken.halfFile},
		poll: s.cfg.Poll, log: s.cfg.Log, out: readings,
	}
	var watching sync.WaitGroup
	watching.Go(func() { watch.run(ctx) })
	defer func() {
		cancel()
		watching.Wait()
		e.wait()
		s.set(nil)
	}()
	if s.broken.emptyBeforeRead {
		if err := out.Replace(nil); err != nil {
			return err
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case r := <-readings:
			out.Problem(r.err)
			if r.err != nil {
				s.cfg.Log.Warn("registry file not taken", "error", r.err)
				continue
			}
			s.locked(func() { e.apply(r.registry) })
		case v := <-e.verdicts:
			s.locked(func() { e.hear(v) })
		}
		if err := e.publish(out); err != nil {
			return err
		}
	}
}

// openSince sets a damaged book aside: it only decides who wins a conflict, and must not keep the source from running.
func (s *Source) openSince() (*source.Since, error) {
	since, err := source.OpenSince(s.cfg.Since)
	if !errors.Is(err, source.ErrDamaged) {
		return since, err
	}
	aside := s.cfg.Since + ".damaged"
	s.cfg.Log.Error("book of exports is damaged and set aside: exports begin anew", "error", err, "aside", aside)
	if err := os.Rename(s.cfg.Since, aside); err != nil {
		return nil, err
	}
	return source.OpenSince(s.cfg.Since)
}

func (s *Source) locked(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *Source) set(e *estate) { s.locked(func() { s.estate = e }) }
