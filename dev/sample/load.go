package sample

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"pentad.dev/pentad/dev/sample/record"
	"pentad.dev/pentad/federation/identity"
	"pentad.dev/pentad/process"
	"pentad.dev/pentad/process/cut"
	"pentad.dev/pentad/unitization/guard"
	"pentad.dev/pentad/xds-relay/bootstrap/ipv4"
)

// scheme of the targets. Tests that have no relay name addresses instead.
const scheme = "xds:///"

// Load is a client of every service, in one center.
type Load struct {
	cfg       LoadConfig
	listeners process.Listeners
	log       *slog.Logger
	cut       *cut.Cut
	targets   map[string]string
	// guards are the client sides of services of units, by service.
	guards   map[string]*guard.Client
	identity *identity.Source
	// watch is watchBalancers, which changes gRPC for the whole process; tests of two processes in one leave it out.
	watch    func(*record.Writer, *slog.Logger)
	counting atomic.Bool
	requests atomic.Uint64
	failed   atomic.Uint64
}

// NewLoad takes a valid configuration, and listens (see process.Listen); Run gives the listener back. This process's
// gRPC learns to read the addresses of relays (see bootstrap).
func NewLoad(cfg LoadConfig, log *slog.Logger) (_ *Load, err error) {
	ipv4.Register()
	l := &Load{
		cfg: cfg, log: log, targets: map[string]string{}, guards: map[string]*guard.Client{}, watch: watchBalancers,
	}
	if l.cut, err = cut.FromEnv(cfg.Place); err != nil {
		return nil, err
	}
	if err := l.openGuards(); err != nil {
		return nil, err
	}
	for _, name := range cfg.Services {
		l.targets[name] = scheme + name
	}
	l.listeners, err = process.Listen(cfg.addresses())
	return l, err
}

// openGuards makes the client side of each service of units.
func (l *Load) openGuards() error {
	if len(l.cfg.Writes) == 0 {
		return nil
	}
	var err error
	if l.identity, err = identity.Load(l.cfg.Certificates); err != nil {
		return process.Usagef("certificates: %w", err)
	}
	for _, w := range l.cfg.Writes {
		l.guards[w.Service], err = guard.NewClient(guard.ClientConfig{
			Relays: peers(l.cfg.Relays, l.identity, identity.RoleRelay), Service: w.Service, Patience: l.cfg.patience(),
			Dial: l.cut.Dialer(), Log: l.log,
		})
		if err != nil {
			return fmt.Errorf("service %s: %w", w.Service, err)
		}
	}
	return nil
}

// connect makes the channel to a service.
func (l *Load) connect(name string) (*grpc.ClientConn, error) {
	options := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	if l.cut != nil {
		options = append(options, grpc.WithContextDialer(l.cut.Dial))
	}
	if g := l.guards[name]; g != nil {
		options = append(options, grpc.WithChainUnaryInterceptor(g.UnaryClientInterceptor(), countAttempts))
	}
	return grpc.NewClient(l.targets[name], options...)
}

// Run calls the services until ctx ends.
func (l *Load) Run(ctx context.Context) error {
	if err := os.MkdirAll(l.cfg.Records, 0o755); err != nil {
		return err
	}
	begun := record.Now()
	writer, err := record.Create(
		filepath.Join(l.cfg.Records, fmt.Sprintf("%s-%d%s", l.cfg.Name, begun, record.FileExtension)),
	)
	if err != nil {
		return err
	}
	opened := record.Line{What: record.Opened, At: begun, Client: l.cfg.Center, Region: l.cfg.Region, PID: os.Getpid()}
	if err := writer.Write(opened); err != nil {
		return err
	}
	l.watch(writer, l.log)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return writer.Run(ctx) })
	group.Go(func() error { return l.cut.Run(ctx, l.log) })
	if l.identity != nil {
		group.Go(func() error { return l.identity.Run(ctx, l.log) })
	}
	for _, g := range l.guards {
		group.Go(func() error { return g.Run(ctx) })
	}
	group.Go(func() error {
		return process.Admin{
			Listener: l.listeners[adminListener], Metrics: process.NewMetrics(), Ready: l.ready, Status: l.status, Log: l.log,
		}.Run(ctx)
	})
	group.Go(func() error { return l.call(ctx, writer) })
	return errors.Join(group.Wait(), writer.Close())
}

// call makes the channels, waits until each service was reached once and took a write if it takes any, and begins to
// count.
func (l *Load) call(ctx context.Context, writer *record.Writer) error {
	conns := map[string]*grpc.ClientConn{}
	defer func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	for name := range l.targets {
		conn, err := l.connect(name)
		if err != nil {
			return fmt.Errorf("channel to %s: %w", name, err)
		}
		conns[name] = conn
		conn.Connect()
	}
	for name, conn := range conns {
		if !becomesReady(ctx, conn) {
			return nil // ctx ended
		}
		l.log.Info("service reached", "service", name)
	}
	var streams []*writes
	for _, w := range l.cfg.Writes {
		stream := newWrites(l, w, conns[w.Service], writer)
		if !stream.begins(ctx) {
			return nil
		}
		l.log.Info("service takes writes", "service", w.Service)
		streams = append(streams, stream)
	}
	if err := writer.Write(record.Line{What: record.Ready, At: record.Now()}); err != nil {
		return err
	}
	l.counting.Store(true)
	var all sync.WaitGroup
	for name, conn := range conns {
		all.Go(func() {
			l.openLoop(ctx, l.cfg.rate(), func(n uint64) { l.one(writer, name, conn, n) })
		})
	}
	for _, stream := range streams {
		all.Go(func() { l.openLoop(ctx, stream.rate(), stream.one) })
	}
	all.Wait()
	return nil
}

func becomesReady(ctx context.Context, conn *grpc.ClientConn) bool {
	for {
		state := conn.GetState()
		if state == connectivity.Ready {
			return true
		}
		if state == connectivity.Idle {
			conn.Connect()
		}
		if !conn.WaitForStateChange(ctx, state) {
			return false
		}
	}
}

// openLoop sends at the rate, whatever comes back, and returns when the last request has ended.
func (l *Load) openLoop(ctx context.Context, rate float64, one func(n uint64)) {
	var requests sync.WaitGroup
	defer requests.Wait()
	ticker := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer ticker.Stop()
	for n := uint64(0); ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			requests.Go(func() { one(n) })
		}
	}
}

// one makes a request. It has its own deadline and does not end with the load, so that stopping adds no errors.
func (l *Load) one(writer *record.Writer, name string, conn *grpc.ClientConn, n uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), l.cfg.deadline())
	defer cancel()
	var to peer.Peer
	id := writer.Start(name, record.Now())
	origin, err := services()[name].call(ctx, conn, n, grpc.Peer(&to))
	line := record.Line{End: record.Now(), Center: origin.GetCenter(), Instance: origin.GetInstance()}
	if to.Addr != nil {
		line.Peer = to.Addr.String()
	}
	l.end(writer, id, line, err)
}

// end counts and records a request with its outcome.
func (l *Load) end(writer *record.Writer, id uint64, line record.Line, err error) {
	l.requests.Add(1)
	if err != nil {
		l.failed.Add(1)
		line.Code, line.Cause = status.Code(err).String(), cause(err, line.Peer != "")
		line.Error = status.Convert(err).Message()
	}
	writer.End(id, line)
}

func (l *Load) ready() error {
	if !l.counting.Load() {
		return errors.New("not every service was reached yet")
	}
	return nil
}

func (l *Load) status() any {
	return map[string]any{"name": l.cfg.Name, "requests": l.requests.Load(), "failed": l.failed.Load()}
}
