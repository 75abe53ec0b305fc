package drill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/grpclog"

	"pentad.dev/pentad/client"
	"pentad.dev/pentad/dev"
	"pentad.dev/pentad/dev/drill/oracle"
	"pentad.dev/pentad/dev/sample/record"
)

// Drill is `pentad drill`.
type Drill struct {
	cfg     Config
	screen  *screen
	site    *dev.Site
	book    *book
	tracker *tracker
	client  *client.Client

	// The load generators' files; for follow alone, until it has ended.
	records *record.Follower
	clients map[string]*oracle.ClientLife
	files   map[string]string
	gone    chan string

	quickWrites atomic.Bool
	visited     []visit // by churn
	baselines   int     // how often everything was returned to the baseline
	networkCut  bool
	// primaries are the members of stores that take writes in the end, unitizationOf whose stores they are.
	primaries, unitizationOf map[string]string

	started time.Time
	began   record.Time
}

// New refuses a wrong configuration before anything is started or changed.
func New(cfg Config) (*Drill, error) {
	if err := errors.Join(cfg.story(), cfg.validate()); err != nil {
		return nil, err
	}
	if cfg.Bounds == (oracle.Bounds{}) {
		cfg.Bounds = oracle.DefaultBounds()
	}
	return &Drill{
		cfg: cfg, screen: &screen{out: cfg.Out}, book: newBook(), tracker: newTracker(),
		clients: map[string]*oracle.ClientLife{}, files: map[string]string{},
		gone: make(chan string, 100),
	}, nil
}

// Run holds the drill. It returns nil when the verdict is yes, ErrFailed when it is no, ErrInterrupted when ctx ended
// first; in these cases the report was written.
func (d *Drill) Run(ctx context.Context) error {
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard)) // connections to the dead are expected
	if err := checkMachine(d.cfg); err != nil {
		return err
	}
	if err := freshFolder(d.cfg.Data); err != nil {
		return err
	}
	var err error
	d.site, err = dev.Open(dev.Config{
		Estate: d.cfg.Estate, Data: estateFolder(d.cfg.Data), Binary: d.cfg.Binary, Out: d.screen, Log: d.cfg.Log,
		Notify: d.notice, Asynchronous: d.cfg.Plant == PlantAsynchronous,
	})
	if err != nil {
		return err
	}
	defer d.site.Close()
	d.records = record.Follow(d.site.Records())
	defer d.records.Close()
	d.started = time.Now()
	if err := d.registerBaseline(); err != nil {
		return err
	}
	if d.client, err = d.site.Client(0); err != nil {
		return err
	}
	defer d.client.Close()
	fmt.Fprintf(d.screen, "starting %d processes, data in %s\n", len(d.site.Supervisor().Names()), d.cfg.Data)
	if err := d.up(ctx); err != nil {
		d.site.Down()
		if ctx.Err() != nil {
			return ErrInterrupted
		}
		return err
	}
	return d.conclude(ctx, d.hold(ctx))
}

// registerBaseline notes what the registries hold from the beginning.
func (d *Drill) registerBaseline() error {
	at := record.Now()
	for _, place := range d.fullPlaces() {
		instances, err := d.site.Instances(place.Center)
		if err != nil {
			return err
		}
		for _, in := range instances {
			d.book.register(d.registration(at, place, in, true))
		}
	}
	return nil
}

// notice takes the supervisor's events.
func (d *Drill) notice(e dev.Event) {
	d.book.process(e)
	if e.State == dev.StateExited && (e.Role == dev.RoleAgent || e.Role == dev.RoleSample) {
		d.tracker.excuse(e.Center)
	}
	if e.Role == dev.RoleLoad && e.State != dev.StateRunning {
		select {
		case d.gone <- e.Center:
		default: // nobody follows any more
		}
	}
}

// hold runs the steps with everything around them that watches. The error says why they did not come to their end.
func (d *Drill) hold(ctx context.Context) error {
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	var group sync.WaitGroup
	var mu sync.Mutex
	var failed error
	watch := func(what string, run func(context.Context) error) {
		group.Go(func() {
			if err := run(watching); err != nil {
				mu.Lock()
				failed = errors.Join(failed, fmt.Errorf("%s: %w", what, err))
				mu.Unlock()
			}
		})
	}
	d.began = record.Now()
	watch("records of the load generators", d.follow)
	for _, place := range d.site.Estate().Places() {
		if !place.Full() {
			continue
		}
		for i, address := range d.site.Relays(place.Center) {
			p, err := d.newProbe(place, i+1, address)
			if err != nil {
				stop()
				return err
			}
			watch("probe", p.Run)
		}
	}
	writing, stopWriting := context.WithCancel(watching)
	defer stopWriting()
	var written sync.WaitGroup
	for i := range writers {
		w, err := d.newWriter(i)
		if err != nil {
			stop()
			return err
		}
		written.Go(func() { _ = w.run(writing) })
	}
	if d.cfg.Story == StoryUnits {
		watch("ownership maps", d.watchMaps)
	}
	table := d.startTable(watching)
	err := d.steps(ctx, func() { stopWriting(); written.Wait() })
	d.book.end()

	d.site.Supervisor().Stop(d.site.Supervisor().Names(dev.RoleLoad)...) // their last requests end and are written
	stopWriting()
	written.Wait()
	stop()
	group.Wait()
	table()
	return errors.Join(err, failed, d.read())
}

// up starts what does not run. A process that somebody ends meanwhile is started again, a few times.
func (d *Drill) up(ctx context.Context) error {
	const tries = 5
	for try := 1; ; try++ {
		err := d.site.Up(ctx)
		if err == nil {
			d.book.ready(d.site.Supervisor().Names()...)
			return nil
		}
		if !errors.Is(err, dev.ErrEnded) || try == tries || ctx.Err() != nil {
			return err
		}
	}
}
