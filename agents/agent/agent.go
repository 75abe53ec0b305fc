package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"pentad.dev/pentad/agents/source"
	"pentad.dev/pentad/federation/feed"
	"pentad.dev/pentad/federation/model"
	"pentad.dev/pentad/process"
)

// Pauses before a source that returned is run again: doubling, and from the start after a Run that lasted.
const (
	firstPause = 500 * time.Millisecond
	lastPause  = 30 * time.Second
)

// Config is what an Agent needs.
type Config struct {
	// Cluster is the cluster's name.
	Cluster string
	// DataDir is the agent's own folder. New takes it for this process alone.
	DataDir string
	// Sources are the cluster's sources by name.
	Sources map[string]source.Source
	// Servers are the federation's servers, nearest first: the feeds go to the nearest that answers.
	Servers []feed.Peer
	// Relays are the cluster's relays: the feeds go to each of them directly.
	Relays []feed.Peer
	// Heartbeat is as in feed.PublisherConfig; 0: its default.
	Heartbeat time.Duration
	// Dialer opens connections; nil: TCP.
	Dialer feed.Dialer
	// Clock is the wall clock that incarnations are taken from; nil: the system's.
	Clock func() time.Time
	Log   *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer
}

// Validate names every wrong field.
func (c Config) Validate() error {
	errs := []error{
		process.Required("cluster", c.Cluster),
		process.Required("dataDir", c.DataDir),
	}
	if len(c.Sources) == 0 {
		errs = append(errs, errors.New("sources: must name at least one source"))
	}
	for name := range c.Sources {
		path := field.NewPath("sources").Key(name)
		for _, err := range model.ValidateSourceName(path, name) {
			errs = append(errs, err)
		}
		if name == model.ReportsSource {
			errs = append(errs, fmt.Errorf("%s: the name is taken by the agent's own feed", path))
		}
	}
	if len(c.Servers) == 0 && len(c.Relays) == 0 {
		errs = append(errs, errors.New("servers: must name at least one federation server"))
	}
	if c.Log == nil {
		errs = append(errs, errors.New("log: must not be nil"))
	}
	return errors.Join(errs...)
}

// breakage breaks rules on purpose. Only tests set it.
type breakage struct {
	// forgetIncarnation does not persist incarnations.
	forgetIncarnation bool
	// reuseIncarnation takes the last incarnation again.
	reuseIncarnation bool
	// beginEmpty begins a feed before its source has answered.
	beginEmpty bool
	// deafToAhead ignores readers that are ahead.
	deafToAhead bool
}

// Agent is one cluster's writer.
type Agent struct {
	cfg       Config
	broken    breakage
	dir       *process.DataDir
	set       *feed.Set
	publisher *feed.Publisher
	sources   []*running
	reports   *writer
	fatal     chan error
}

// running is a source and what it is read into.
type running struct {
	name   string
	source source.Source
	writer *writer
	report *report
}

// New takes the data folder, which Run gives back: one that another agent holds, or that is of another version, is a
// process.UsageError. Call Run exactly once.
func New(cfg Config) (*Agent, error) { return newAgent(cfg, breakage{}) }

func newAgent(cfg Config, broken breakage) (*Agent, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	dir, err := process.OpenDataDir(cfg.DataDir, "agent "+cfg.Cluster)
	if err != nil {
		return nil, err
	}
	a := &Agent{cfg: cfg, broken: broken, dir: dir, fatal: make(chan error, 1)}
	if err := a.assemble(); err != nil {
		dir.Close()
		return nil, err
	}
	return a, nil
}

func (a *Agent) assemble() error {
	incarnations, err := openIncarnations(a.dir.Path, a.cfg.Clock, a.cfg.Log, a.broken)
	if err != nil {
		return err
	}
	// In memory: a writer's truth is its source, never what a disk remembers.
	if a.set, err = feed.OpenSet("", feed.Options{Log: a.cfg.Log}); err != nil {
		return err
	}
	writerOf := func(id feed.ID) *writer {
		return &writer{log: a.set.Log(id), incarnations: incarnations, logger: a.cfg.Log}
	}
	a.reports = writerOf(model.ReportsFeed(a.cfg.Cluster))
	for name, src := range a.cfg.Sources {
		a.sources = append(a.sources, &running{
			name: name, source: src, writer: writerOf(model.FeedID(a.cfg.Cluster, name)),
			report: &report{source: name, writer: a.reports, logger: a.cfg.Log},
		})
	}
	if a.cfg.Metrics != nil {
		if err := a.cfg.Metrics.Register(numbers{a}); err != nil {
			return err
		}
	}
	a.publisher, err = feed.NewPublisher(feed.PublisherConfig{
		Set: a.set, One: a.cfg.Servers, Each: a.cfg.Relays, OnAhead: a.ahead, OnRejected: a.rejected,
		Heartbeat: a.cfg.Heartbeat, Dialer: a.cfg.Dialer, Log: a.cfg.Log, Metrics: a.cfg.Metrics,
	})
	return err
}

// Run reads the sources and publishes until ctx ends, or until it must stop: ErrOutbid, or a data folder that cannot be
// written. When it returns, everything that it started has stopped and the data folder is free.
func (a *Agent) Run(ctx context.Context) error {
	defer a.dir.Close()
	if err := a.beginReports(); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.set.Run(ctx) })
	group.Go(func() error { return a.publisher.Run(ctx) })
	group.Go(func() error {
		select {
		case err := <-a.fatal:
			return err
		case <-ctx.Done():
			return nil
		}
	})
	for _, r := range a.sources {
		group.Go(func() error { a.read(ctx, r); return nil })
	}
	return group.Wait()
}

// beginReports begins the feed of reports: its source is the agent itself, which has an answer from the start.
func (a *Agent) beginReports() error {
	var whole []feed.Change
	for _, r := range a.sources {
		change, err := r.report.record()
		if err != nil {
			return err
		}
		whole = append(whole, change)
	}
	return a.reports.replace(whole)
}

// read runs a source again and again until ctx ends.
func (a *Agent) read(ctx context.Context, r *running) {
	pause := firstPause
	for {
		began := time.Now()
		if a.broken.beginEmpty {
			_ = r.writer.replace(nil)
		}
		err := r.source.Run(ctx, &sink{writer: r.writer, report: r.report})
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > lastPause {
			pause = firstPause
		}
		if err == nil {
			err = errors.New("it returned")
		}
		err = fmt.Errorf("source stopped: %w; what it said last stays in force, and it runs again in %s", err, pause)
		a.cfg.Log.Error("source stopped", "cluster", a.cfg.Cluster, "source", r.name, "error", err)
		r.report.ended(err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(float64(pause) * (0.8 + 0.4*rand.Float64()))):
		}
		pause = min(2*pause, lastPause)
	}
}

// ahead is the publisher's OnAhead.
func (a *Agent) ahead(id feed.ID, highest feed.Position) {
	if a.broken.deafToAhead {
		return
	}
	err := a.writerOf(id).ahead(highest)
	if err == nil {
		return
	}
	a.cfg.Log.Error("feed cannot be written", "feed", id, "error", err)
	select {
	case a.fatal <- err:
	default:
	}
}

func (a *Agent) writerOf(id feed.ID) *writer {
	for _, r := range a.sources {
		if r.writer.log.ID() == id {
			return r.writer
		}
	}
	return a.reports
}

// rejected is the publisher's OnRejected: a reader of another version cannot use a record of ours.
func (a *Agent) rejected(peer string, id feed.ID, rejections []feed.Rejection) {
	for _, r := range rejections {
		a.cfg.Log.Warn("a reader cannot use a record",
			"peer", peer, "feed", id, "position", r.At.String(), "kind", r.Kind, "key", r.Key, "reason", r.Reason)
	}
}
